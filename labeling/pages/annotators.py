"""Annotators page: how well each person answers and how far they agree, with the items behind every figure."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path
from django.utils import timezone
from django.views.decorators.http import require_safe

from labeling import annotators as figures
from labeling.models import Member, Role
from labeling.pages.gate import context, members


@members(Role.REVIEWER)
@require_safe
def annotators(request: HttpRequest, member: Member) -> HttpResponse:
    """The page, whole; it has no script of its own."""
    told = figures.describe(member.project, timezone.now())
    shown = context(member, told=told, may_settle=Role(member.role).reaches(Role.ADMIN))
    return render(request, "annotators.html", shown)


urlpatterns = [path("projects/<int:project_id>/annotators", annotators, name="annotators")]
