"""Images: the bytes of an item's image, for members of its project alone."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.core.files.storage import default_storage
from django.http import HttpRequest, HttpResponse, HttpResponseNotModified
from django.urls import path
from django.views.decorators.http import require_safe

from labeling import access
from labeling.errors import NotFound
from labeling.models import Item

SHOWN = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp", "image/bmp", "image/avif"})


@require_safe
@login_required
def item_image(request: HttpRequest, project_id: int, item_id: int) -> HttpResponse:
    """The image as it was imported. An item's image never changes, so a browser may keep it."""
    project = access.project(access.person(request), project_id)
    item = access.row_of(project, Item, pk=item_id)
    if not item.image:
        raise NotFound("image")
    tag = f'"{bytes(item.content_hash).hex()}"'
    if request.headers.get("If-None-Match") == tag:
        return HttpResponseNotModified()
    try:
        with default_storage.open(item.image) as file:
            content = file.read()  # whole: an image is small, and an ASGI server would thread a stream all the same
    except FileNotFoundError as error:
        raise NotFound("image") from error
    # A type we do not know is handed out as bytes to save: the browser must not guess that it is a page.
    known = item.image_type in SHOWN
    response = HttpResponse(content, content_type=item.image_type if known else "application/octet-stream")
    if not known:
        response["Content-Disposition"] = "attachment"
    response["Cache-Control"] = "private, max-age=86400"
    response["ETag"] = tag
    response["X-Content-Type-Options"] = "nosniff"
    response["Content-Security-Policy"] = "default-src 'none'; sandbox"
    return response


urlpatterns = [path("projects/<int:project_id>/items/<int:item_id>/image", item_image, name="item_image")]
