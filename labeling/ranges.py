"""Ranges: which bytes of a file a request asks for, so that a download that broke off can go on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import IO

from django.core.files.storage import default_storage
from django.http import HttpRequest, HttpResponse, HttpResponseNotModified, StreamingHttpResponse
from django.utils.http import content_disposition_header, http_date

BLOCK = 256 * 1024  # bytes held in memory at a time
RANGE = re.compile(r"bytes=(\d*)-(\d*)", re.ASCII)


class Unsatisfiable(Exception):
    """The range lies wholly outside the file."""


def parse(header: str, size: int) -> tuple[int, int] | None:
    """The half-open byte range [start, stop) that a Range header asks of a file of `size` bytes.

    None where there is no such header, or one that a server may ignore: another unit, several ranges, nonsense
    (RFC 9110, 14.2). Raises Unsatisfiable.
    """
    match = RANGE.fullmatch(header.strip())
    if match is None or match.group(1) == match.group(2) == "":
        return None
    first, last = match.groups()
    if not first:
        if int(last) == 0 or size == 0:
            raise Unsatisfiable
        return max(size - int(last), 0), size
    start, stop = int(first), min(int(last) + 1, size) if last else size
    if last and int(last) < start:
        return None
    if start >= size:
        raise Unsatisfiable
    return start, stop


def serve(
    request: HttpRequest, *, path: str, size: int, name: str, content_type: str, etag: str, changed: datetime
) -> HttpResponse | StreamingHttpResponse:
    """The file at `path` in storage as an attachment, whole (200) or in part (206); 304 and 416 where they are due.

    `etag` is the strong tag without quotes; `changed` is when the file was made.
    """
    headers = {"Accept-Ranges": "bytes", "ETag": f'"{etag}"', "Last-Modified": http_date(changed.timestamp())}
    headers |= {"Cache-Control": "private, no-transform", "X-Content-Type-Options": "nosniff"}
    if _knows(request.headers.get("If-None-Match", ""), etag):
        return HttpResponseNotModified(headers=headers)
    try:
        part = parse(request.headers.get("Range", ""), size) if _same(request, headers) else None
    except Unsatisfiable:
        return HttpResponse(status=416, headers=headers | {"Content-Range": f"bytes */{size}"})
    start, stop = part or (0, size)
    if part:
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    headers |= {"Content-Length": str(stop - start), "Content-Type": content_type}
    headers["Content-Disposition"] = content_disposition_header(True, name) or "attachment"
    status = 206 if part else 200
    if request.method == "HEAD":
        return HttpResponse(status=status, headers=headers)
    return StreamingHttpResponse(_blocks(path, start, stop), status=status, headers=headers)


def _same(request: HttpRequest, headers: dict[str, str]) -> bool:
    """Whether the file is still the one whose beginning the client has; without If-Range it says nothing of that."""
    return request.headers.get("If-Range", headers["ETag"]) in (headers["ETag"], headers["Last-Modified"])


def _knows(header: str, etag: str) -> bool:
    tags = [tag.strip().removeprefix("W/") for tag in header.split(",")]
    return "*" in tags or f'"{etag}"' in tags


def _blocks(path: str, start: int, stop: int) -> Iterator[bytes]:
    with default_storage.open(path, "rb") as file:
        file.seek(start)
        while start < stop and (block := _read(file, stop - start)):
            start += len(block)
            yield block


def _read(file: IO[bytes], most: int) -> bytes:
    return file.read(min(BLOCK, most))
