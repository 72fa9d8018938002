"""Frame: the navigation of a project's pages, each shown to those whose role may open it."""

from __future__ import annotations

from typing import Any

from django import template
from django.urls import NoReverseMatch, reverse
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy, to_locale

from labeling import access
from labeling.models import Role

register = template.Library()

PAGES = (
    ("overview", _("Overview"), Role.ANNOTATOR),
    ("label", pgettext_lazy("to give labels", "Label"), Role.ANNOTATOR),
    ("review", _("Review"), Role.REVIEWER),
    ("quality", _("Quality"), Role.REVIEWER),
    ("rules", _("Rules"), Role.REVIEWER),
    ("data", _("Data"), Role.REVIEWER),
    ("import", _("Import"), Role.ADMIN),
    ("export", _("Export"), Role.REVIEWER),
    ("models", _("Models"), Role.REVIEWER),
    ("people", _("People"), Role.ADMIN),
    ("settings", _("Settings"), Role.ADMIN),
)


@register.inclusion_tag("_nav.html", takes_context=True)
def project_nav(context: dict[str, Any]) -> dict[str, Any]:
    """The pages of `project` that this person may open; the one shown is marked.

    A view that has the `member` at hand puts it into the context and saves a query.
    """
    request, project = context["request"], context["project"]
    member = context.get("member") or access.membership(request.user, project.pk)
    here = getattr(request.resolver_match, "url_name", "")
    parts = {"item": "data"} | dict.fromkeys(("doubts", "duplicates", "disagreements", "annotators", "gold"), "quality")
    here = parts.get(here, here)
    return {
        "pages": [
            {"url": url, "title": title, "current": name == here}
            for name, title, needed in PAGES
            if Role(member.role).reaches(needed) and (url := _address(name, project.pk))
        ]
    }


@register.filter
def role_reaches(member: Any, needed: str) -> bool:
    """Whether the member's role may do what `needed` may: {% if member|role_reaches:"admin" %}."""
    return member is not None and Role(member.role).reaches(Role(needed))


@register.filter
def language_tag(code: str) -> str:
    """Django's "zh-hans" as browsers and screen readers write it: "zh-Hans"."""
    return to_locale(code).replace("_", "-")


def _address(name: str, project_id: int) -> str:
    try:
        return reverse(name, args=[project_id])
    except NoReverseMatch:
        return ""
