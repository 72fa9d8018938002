"""API of certificates: what one would take, starting it, its state, stopping it, accepting its set, its record."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.urls import re_path
from django.utils import timezone
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import api_view
from rest_framework.request import Request
from rest_framework.response import Response

from labeling import access, certificates, jobs, live, suggestions
from labeling.api import outlines, shapes
from labeling.api.schema import valid
from labeling.errors import Conflict, NotFound
from labeling.flow import auditing, reviewing
from labeling.models import Certificate, Project, Role


class ClaimIn(serializers.Serializer[Any]):
    """What is to be claimed."""

    eps = serializers.FloatField(help_text="Share of the certified labels that may be wrong, in [0.001, 0.5].")
    confidence = serializers.FloatField(
        required=False, default=0.95, help_text="1 - delta: that no certificate of the project is wrong, in [0.5, 1)."
    )
    budget = serializers.IntegerField(required=False, default=auditing.BUDGET, help_text="Audits at most.")


class StartIn(ClaimIn):
    """What is to be claimed, and how it is audited."""

    second_share = serializers.FloatField(
        required=False, default=auditing.DOUBLED, help_text="Share of the audits that two people answer, in [0, 1]."
    )


class SampleIn(serializers.Serializer[Any]):
    """What is to be measured."""

    audits = serializers.IntegerField(help_text="How many items are drawn.")
    accepted_only = serializers.BooleanField(
        required=False, default=False, help_text="Accepted labels only, instead of all labels and suggestions."
    )


@extend_schema(operation_id="certificates_propose", parameters=[ClaimIn], responses=OpenApiTypes.OBJECT)
@api_view(["GET"])
def proposal(request: Request, project_id: int) -> Response:
    """What certifying would take: candidates, audits at best and likely; or in `reason` why it can't be done yet."""
    project = access.project(access.person(request), project_id, Role.REVIEWER)
    asked = valid(ClaimIn, request.query_params)
    told = auditing.propose(project=project, asker=access.person(request), **_claim(asked))
    return Response(asdict(told) | {"confidence": asked["confidence"]})


@extend_schema(methods=["GET"], operation_id="certificates_list", responses=OpenApiTypes.OBJECT)
@extend_schema(
    methods=["POST"], operation_id="certificates_start", request=StartIn, responses={201: OpenApiTypes.OBJECT}
)
@api_view(["GET", "POST"])
def certificate_list(request: Request, project_id: int) -> Response:
    """Certificates and samples, newest first; or start a certificate."""
    project = access.project(access.person(request), project_id, Role.REVIEWER)
    if request.method == "GET":
        return Response({"results": [certificates.describe(one) for one in certificates.of(project)]})
    asked = valid(StartIn, request.data)
    started = auditing.start(
        project=project,
        asker=access.person(request),
        second_share=asked["second_share"],
        now=timezone.now(),
        **_claim(asked),
    )
    return Response(certificates.describe(started), status=201)


@extend_schema(operation_id="samples_start", request=SampleIn, responses={201: OpenApiTypes.OBJECT})
@api_view(["POST"])
def sample_list(request: Request, project_id: int) -> Response:
    """Draw items at random and have them audited, to measure how right the labels are."""
    project = access.project(access.person(request), project_id, Role.REVIEWER)
    asked = valid(SampleIn, request.data)
    started = auditing.start_sample(project=project, asker=access.person(request), now=timezone.now(), **asked)
    return Response(certificates.describe(started), status=201)


@extend_schema(operation_id="certificates_get", responses=OpenApiTypes.OBJECT)
@api_view(["GET"])
def certificate_detail(request: Request, project_id: int, certificate_id: int) -> Response:
    """One certificate or sample by its number; its `outcomes` once it is decided."""
    certificate = _certificate(request, project_id, certificate_id)
    told = certificates.describe(certificate) | {"outcomes": certificates.describe_audits(certificate)}
    return Response(told)


@extend_schema(operation_id="certificates_stop", request=None, responses=OpenApiTypes.OBJECT)
@api_view(["POST"])
def certificate_stop(request: Request, project_id: int, certificate_id: int) -> Response:
    """End the audits now: what passed stays certified, else it is given up."""
    certificate = _certificate(request, project_id, certificate_id)
    return Response(certificates.describe(auditing.stop(certificate=certificate, now=timezone.now())))


@extend_schema(
    operation_id="certificates_accept", request=None, responses={201: outlines.Accepted, 202: outlines.Accepted}
)
@api_view(["POST"])
def certificate_accept(request: Request, project_id: int, certificate_id: int) -> Response:
    """Accept what a passed certificate covers: at once (201), or more than 5,000 in a job (202)."""
    certificate = _certificate(request, project_id, certificate_id)
    if certificate.snapshot is None:
        raise Conflict(_("A sample measures; there is nothing that it lets you accept."))
    project = certificate.project
    choice = reviewing.Choice(certificate.snapshot, certificate=certificate)
    batch, job = reviewing.accept(project=project, reviewer=access.person(request), choice=choice, now=timezone.now())
    live.publish(project.pk, "progress", shapes.progress(project, suggestions.latest(project)))
    count = job.arguments["total"] if job else batch.count
    body = {"batch": batch.pk, "count": count, "job": jobs.describe(job) if job else None}
    return Response(body, status=202 if job else 201)


@extend_schema(operation_id="certificates_record", responses=OpenApiTypes.OBJECT)
@api_view(["GET"])
def certificate_record(request: Request, project_id: int, certificate_id: int) -> Response:
    """The record, from which `python -m metalearning verify` recomputes the claim; once it is decided."""
    certificate = _certificate(request, project_id, certificate_id)
    if certificate.kind != Certificate.Kind.CLAIM:
        raise Conflict(_("A sample has no record to recompute; its numbers are all in its description."))
    if certificate.state == Certificate.State.RUNNING:
        raise Conflict(_("It is still being audited. Its record can be had once it has ended."))
    response = Response(certificates.record(certificate))
    response["Content-Disposition"] = f'attachment; filename="certificate-{certificate.number}.json"'
    return response


def _claim(asked: dict[str, Any]) -> dict[str, Any]:
    # Rounded, for 1 - 0.95 is 0.050000000000000044.
    return {"eps": asked["eps"], "delta": round(1 - asked["confidence"], 9), "budget": asked["budget"]}


def _certificate(request: Request, project_id: int, number: int) -> Certificate:
    project: Project = access.project(access.person(request), project_id, Role.REVIEWER)
    found = Certificate.objects.select_related("snapshot", "started_by", "project", "project__tally")
    certificate = found.filter(project=project, number=number).first()
    if certificate is None:
        raise NotFound("certificate")
    return certificate


PROJECT = r"^projects/(?P<project_id>\d{1,18})"
ONE = PROJECT + r"/certificates/(?P<certificate_id>\d{1,18})"
urlpatterns = [
    re_path(PROJECT + r"/certificates/?$", certificate_list, name="api_certificates"),
    re_path(PROJECT + r"/certificates/proposal/?$", proposal, name="api_certificate_proposal"),
    re_path(ONE + r"/?$", certificate_detail, name="api_certificate"),
    re_path(ONE + r"/stop/?$", certificate_stop, name="api_certificate_stop"),
    re_path(ONE + r"/accept/?$", certificate_accept, name="api_certificate_accept"),
    re_path(ONE + r"/record/?$", certificate_record, name="api_certificate_record"),
    re_path(PROJECT + r"/samples/?$", sample_list, name="api_samples"),
]
