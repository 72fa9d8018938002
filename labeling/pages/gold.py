"""Gold page: the items whose label is known, and how people did on each."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from labeling import access, annotators
from labeling.flow import examining
from labeling.models import Answer, Gold, Item, Label, Member, Project, Role, User
from labeling.pages.gate import context, members, number


@members(Role.REVIEWER)
@require_http_methods(["GET", "POST"])
def gold(request: HttpRequest, member: Member) -> HttpResponse:
    """The list; a form here or on an item's page makes one gold, or gold no more."""
    if request.method == "POST":
        return _changed(request, member)
    project = member.project
    labels = dict(Label.objects.filter(project=project).values_list("pk", "name"))
    person = _author(project, number(request.GET.get("person")))
    told = annotators.gold_items(project, person.pk if person else None)
    for one in told:
        one["wrong"] = [miss | {"name": labels.get(miss["label"], "")} for miss in one["wrong"]]
        one["score"] = annotators.score(one["right"], one["of"])
    told.sort(key=lambda one: (one["right"] - one["of"], -one["of"]))
    count = Gold.objects.filter(project=project).count()
    return render(
        request,
        "gold.html",
        context(member, told=told, person=person, count=count, more=not person and count > len(told)),
    )


def _author(project: Project, user_id: int) -> User | None:
    """The person, if they have answered in this project."""
    answer = Answer.objects.filter(project=project, author=user_id).select_related("author").first()
    return answer.author if answer else None


def _changed(request: HttpRequest, member: Member) -> HttpResponse:
    project, given = member.project, request.POST
    item = access.row_of(project, Item, pk=number(given.get("item")))
    if given.get("do") == "unset":
        examining.unset(project=project, item=item)
        messages.success(request, _("It is gold no more."))
    else:
        label = access.row_of(project, Label, pk=number(given.get("label")))
        examining.set_by_hand(project=project, item=item, label=label, by=access.person(request), now=timezone.now())
        messages.success(
            request, _("It is a gold item now: whoever is asked it is scored by “%(label)s”.") % {"label": label}
        )
    return redirect("item", project.pk, item.pk) if given.get("back") == "item" else redirect("gold", project.pk)


urlpatterns = [path("projects/<int:project_id>/gold", gold, name="gold")]
