"""Certificate page: one certificate or audit sample in words, with its audits and its record."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path
from django.views.decorators.http import require_safe

from labeling import certificates
from labeling.errors import NotFound
from labeling.models import Certificate, Member, Role, Status
from labeling.pages.gate import context, members


@members(Role.REVIEWER)
@require_safe
def certificate(request: HttpRequest, member: Member, certificate_id: int) -> HttpResponse:
    """The one with this number in the project."""
    found = Certificate.objects.select_related("snapshot", "started_by", "project")
    one = found.filter(project=member.project, number=certificate_id).first()
    if one is None:
        raise NotFound("certificate")
    told = certificates.describe(one)
    shown = context(
        member,
        one=one,
        told=told,
        audits=certificates.describe_audits(one),
        strata=_strata(told),
        confidence=1 - one.delta,
    )
    return render(request, "certificate.html", shown)


def _strata(told: dict[str, Any]) -> list[dict[str, Any]]:
    return [facts | {"name": str(Status(name).label)} for name, facts in told.get("strata", {}).items()]


urlpatterns = [path("projects/<int:project_id>/certificates/<int:certificate_id>", certificate, name="certificate")]
