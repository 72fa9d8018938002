"""Live events: a project's news as server-sent events, for as long as the page is open."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.urls import path
from django.views.decorators.http import require_safe

from labeling import access, live
from labeling.errors import Refused


@require_safe
def events(request: HttpRequest, project_id: int) -> HttpResponseBase:
    """Stream `job`, `snapshot`, `progress` and `away`; 401 and 404 as plain refusals, which a script understands."""
    try:
        access.membership(access.person(request), project_id)
    except Refused as refusal:
        return HttpResponse(str(refusal), status=refusal.status, content_type="text/plain")
    response = StreamingHttpResponse(live.stream(project_id), content_type="text/event-stream")
    response["Cache-Control"] = "no-cache, no-transform"
    response["X-Accel-Buffering"] = "no"  # nginx would hold events back until its buffer is full
    return response


urlpatterns = [path("projects/<int:project_id>/events", events, name="events")]
