"""Humane: counts and shares as the reader's language writes them."""

from __future__ import annotations

from django import template
from django.utils.formats import get_format, number_format
from django.utils.translation import gettext as _

register = template.Library()
STRONG, FAIR = 0.85, 0.7  # estimated accuracies from which a label is not marked, or only marked as one to watch


@register.filter
def count(number: int | None) -> str:
    """12345 as "12,345"; nothing for None."""
    # By thousands in every language, as scripts write them: Django groups Chinese numbers by ten thousands.
    return "" if number is None else f"{number:,}".replace(",", str(get_format("THOUSAND_SEPARATOR")))


@register.filter
def share(part: float | None) -> str:
    """A share in [0, 1] with one decimal: "91.4%"; never "0.0%" or "100.0%" for what is not exactly that."""
    if part is None:
        return ""
    percent = round(100 * part, 1)
    if 0 < part < 1:
        percent = min(max(percent, 0.1), 99.9)
    return _("%(number)s%%") % {"number": number_format(percent, 1)}


@register.filter
def short_share(part: float | None) -> str:
    """A share in [0, 1] with as many decimals as it needs, at most one: "95%"."""
    if part is None:
        return ""
    percent = round(100 * part, 1)
    return _("%(number)s%%") % {"number": number_format(percent, 0 if percent == int(percent) else 1)}


@register.filter
def points(part: float) -> str:
    """A difference of shares in percentage points, one decimal."""
    return number_format(round(100 * part, 1), 1)


@register.filter
def strength(part: float) -> str:
    """The class that colours an estimated accuracy."""
    return "" if part >= STRONG else "warn" if part >= FAIR else "bad"
