"""People: a project's members with their roles, and the links by which others can join."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path, reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from labeling import access
from labeling.errors import BadField, Refused
from labeling.flow import examining, joining
from labeling.models import Answer, Invitation, Member, Project, Role
from labeling.pages.gate import context, members

EXPLAINED = {
    Role.ANNOTATOR: gettext_lazy("labels items"),
    Role.REVIEWER: gettext_lazy("also sees the data, reviews suggestions, corrects answers and exports"),
    Role.ADMIN: gettext_lazy("also imports, and settles people and settings"),
}


@members(Role.ADMIN)
@never_cache  # what is shown once must not come again by the back button
@require_http_methods(["GET", "POST"])
def people(request: HttpRequest, member: Member) -> HttpResponse:
    """Members and invitations; `do` says which form was sent."""
    if request.method == "POST":
        try:
            return DOINGS.get(request.POST.get("do", ""), _nothing)(request, member)
        except Refused as refusal:
            messages.error(request, str(refusal))
            return _page(request, member, status=refusal.status)
    return _page(request, member)


def _page(request: HttpRequest, member: Member, status: int = 200, **more: Any) -> HttpResponse:
    now = timezone.now()
    shown = context(
        member,
        people=_members(member.project),
        invitations=_invitations(member.project, now),
        roles=[(role.value, role.label, EXPLAINED[role]) for role in Role],
        **more,
    )
    return render(request, "people.html", shown, status=status)


def _invite(request: HttpRequest, member: Member) -> HttpResponse:
    invitation, token = joining.invite(
        project=member.project,
        inviter=access.person(request),
        role=request.POST.get("role", ""),
        uses=_number(request, "uses"),
        days=_number(request, "days"),
        now=timezone.now(),
    )
    # Shown in the reply itself and never again: only its hash is kept.
    link = request.build_absolute_uri(reverse("invitation", args=[token]))
    return _page(request, member, status=201, link=link, invited=invitation)


def _revoke(request: HttpRequest, member: Member) -> HttpResponse:
    invitation = access.row_of(member.project, Invitation, pk=_number(request, "invitation"))
    joining.revoke(invitation=invitation, now=timezone.now())
    messages.success(request, _("The link no longer works."))
    return redirect("people", project_id=member.project_id)


def _add(request: HttpRequest, member: Member) -> HttpResponse:
    username, role = request.POST.get("username", ""), request.POST.get("role", "")
    added = joining.add(project=member.project, username=username, role=role)
    messages.success(request, _("%(name)s is a member now.") % {"name": added.user})
    return redirect("people", project_id=member.project_id)


def _change_role(request: HttpRequest, member: Member) -> HttpResponse:
    changed = joining.change_role(member=_chosen(request, member), role=request.POST.get("role", ""))
    values = {"name": changed.user, "role": Role(changed.role).label}
    messages.success(request, _("%(name)s: %(role)s") % values)
    return _onward(request, member, changed)


def _remove(request: HttpRequest, member: Member) -> HttpResponse:
    removed = _chosen(request, member)
    joining.remove(member=removed)
    messages.success(request, _("%(name)s is no longer a member.") % {"name": removed.user})
    return _onward(request, member, removed)


def _resume(request: HttpRequest, member: Member) -> HttpResponse:
    resumed = examining.resume(member=_chosen(request, member), now=timezone.now())
    messages.success(request, _("%(name)s can go on labelling.") % {"name": resumed.user})
    return redirect("people", project_id=member.project_id)


def _onward(request: HttpRequest, member: Member, touched: Member) -> HttpResponse:
    """Back to the page, unless who acts may no longer see it."""
    if touched.user_id == member.user_id:
        return redirect("projects")
    return redirect("people", project_id=member.project_id)


def _nothing(request: HttpRequest, member: Member) -> HttpResponse:
    return _page(request, member, status=422)


DOINGS: dict[str, Callable[[HttpRequest, Member], HttpResponse]] = {
    "invite": _invite,
    "revoke": _revoke,
    "add": _add,
    "role": _change_role,
    "remove": _remove,
    "resume": _resume,
}


def _chosen(request: HttpRequest, member: Member) -> Member:
    return access.row_of(member.project, Member.objects.select_related("user"), pk=_number(request, "member"))


def _number(request: HttpRequest, name: str) -> int:
    given = request.POST.get(name, "")
    if not given.isascii() or not given.isdigit() or len(given) > 18:
        raise BadField(name, _("Give a whole number."))
    return int(given)


def _members(project: Project) -> QuerySet[Member]:
    """With when each answered last; the index of answers by author gives it at once."""
    newest = Answer.objects.filter(project=project, author=OuterRef("user")).order_by("-id").values("created_at")[:1]
    found = Member.objects.filter(project=project).select_related("user").annotate(last_answer=Subquery(newest))
    return found.order_by("pk")


def _invitations(project: Project, now: datetime) -> QuerySet[Invitation]:
    found = Invitation.objects.filter(project=project, revoked_at=None, uses_left__gt=0, expires_at__gt=now)
    return found.select_related("created_by").order_by("-pk")


urlpatterns = [path("projects/<int:project_id>/people", people, name="people")]
