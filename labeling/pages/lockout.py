"""Lockout: what somebody is told who gave too many wrong passwords, on the page and in the API."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any

from axes.helpers import get_cool_off
from axes.models import AccessAttempt
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import ngettext


def respond(request: HttpRequest, *_given: Any) -> HttpResponse:
    """The answer to an attempt while locked out, with the time left; django-axes calls it.

    Its middleware passes different arguments with and without async; the request alone holds what is needed.
    """
    username = str((getattr(request, "axes_credentials", None) or {}).get("username") or "")
    minutes = minutes_left(username, getattr(request, "axes_ip_address", "") or "", timezone.now())
    detail = ngettext(
        "Too many wrong passwords. Try again in %(minutes)d minute.",
        "Too many wrong passwords. Try again in %(minutes)d minutes.",
        minutes,
    ) % {"minutes": minutes}
    headers = {"Retry-After": str(minutes * 60)}
    if request.path.startswith("/api/"):
        error = {"code": "locked_out", "detail": detail, "fields": {}}
        return JsonResponse(error, status=429, headers=headers)
    response = render(request, "signin.html", {"locked_out": detail, "username": username}, status=429)
    response.headers["Retry-After"] = headers["Retry-After"]
    return response


def minutes_left(username: str, address: str, now: datetime) -> int:
    """Whole minutes until this user name may be tried again from this address, at least 1."""
    cool_off = get_cool_off()
    attempts = AccessAttempt.objects.filter(username=username)
    newest = (attempts.filter(ip_address=address) if address else attempts).order_by("-attempt_time").first()
    if newest is None or cool_off is None:
        return 1
    return max(math.ceil((newest.attempt_time + cool_off - now).total_seconds() / 60), 1)
