"""Import: drop a file, see its first rows, say what its columns are, follow it in."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path, reverse
from django.utils.translation import gettext, gettext_noop
from django.views.decorators.http import require_safe

from labeling import jobs
from labeling.models import Job, Member, Project, Role, Upload
from labeling.pages.gate import context, members

SHOWN = 20  # past imports
UNDER_WAY = (Job.State.QUEUED, Job.State.RUNNING)
ENCODINGS = ("utf-8", "utf-8-sig", "gb18030", "latin-1", "cp1252", "utf-16", "big5", "shift-jis", "euc-kr", "cp1251")

_ = gettext_noop
SAID = (
    _("Uploading %(name)s"),
    _("Looking into the file…"),
    _("The file is larger than %(most)s."),
    _("The upload broke off. Try again."),
    _("The upload was stopped."),
    _("%(rows)s rows"),
    _("about %(rows)s rows"),
    _("none"),
    _("Text"),
    _("Image"),
    _("Label"),
    _("Your id"),
    _("Looking through the labels…"),
    _("The first %(rows)s rows have %(count)s labels."),
    _("The file has %(count)s labels."),
    _("All of them are known."),
    _("%(count)s are new:"),
    _("and %(count)s more"),
    _("%(count)s of these rows cannot be used; they will be listed."),
    _("Import"),
    _("Import %(rows)s rows"),
    _("Waiting for a worker…"),
    _("Importing…"),
    _("Stopping…"),
    _("%(added)s added so far"),
    _("%(done)s of %(total)s"),
    _("Done: %(added)s items added."),
    _("Stopped. %(added)s items were added by then; they stay."),
    _("The import failed."),
    _("The model is reading the items: %(done)s of %(total)s. You can label meanwhile."),
    _("The model has read the items; its suggestions follow at once."),
    _("added"),
    _("were there already"),
    _("could not be used"),
    _("labels made"),
    _("Row"),
    _("Column"),
    _("Reason"),
    _("The first %(count)s are shown."),
    _("The server cannot be reached. Trying again…"),
    _("tabulator"),
    _("Stop"),
)


@members(Role.ADMIN)
@require_safe
def importing(request: HttpRequest, member: Member) -> HttpResponse:
    """The page; its script uploads, shows the file and follows the job."""
    past = _past(member.project)
    running = next(
        (entry["job"] for entry in past if entry["job"].state in (Job.State.QUEUED, Job.State.RUNNING)), None
    )
    strings = _strings()
    shown = context(member, past=past, data=_data(member.project, running), strings=strings)
    return render(request, "import.html", shown)


def _past(project: Project) -> list[dict[str, Any]]:
    found = list(
        Job.objects.filter(project=project, kind=Job.Kind.IMPORT).select_related("created_by").order_by("-pk")[:SHOWN]
    )
    names = dict(
        Upload.objects.filter(project=project, pk__in=[job.arguments.get("upload") for job in found]).values_list(
            "pk", "name"
        )
    )
    return [{"job": job, "name": names.get(job.arguments.get("upload"), "")} for job in found]


def _data(project: Project, running: Job | None) -> dict[str, Any]:
    api = reverse("api_project", args=[project.pk]).rstrip("/")
    return {
        "api": api,
        "events": f"/projects/{project.pk}/events",
        "label": f"/projects/{project.pk}/label",
        "overview": f"/projects/{project.pk}/",
        "modality": project.modality,
        "limit": settings.ANNOTATOR_MAX_UPLOAD_BYTES,
        "encodings": ENCODINGS,
        "has_labels": project.labels.filter(archived_at=None).exists(),
        "job": jobs.describe(running) if running else None,
    }


def _strings() -> dict[str, str]:
    """What the script says, in the reader's language; the keys are the English."""
    return {text: gettext(text) for text in SAID}


urlpatterns = [path("projects/<int:project_id>/import", importing, name="import")]
