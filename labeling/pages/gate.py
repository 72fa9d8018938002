"""Gate: who may open a page, and what the others see instead."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.deprecation import MiddlewareMixin

from labeling import access
from labeling.errors import Refused
from labeling.models import Member, Role

View = Callable[..., HttpResponse]


class Refusals(MiddlewareMixin):
    """Middleware: a refusal that a page's view raises becomes a page that says so, with its status."""

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """The API has a handler of its own, which sees its errors first."""
        if not isinstance(error, Refused):
            return None
        return render(request, "refused.html", {"refusal": error}, status=error.status)


def members(needed: Role = Role.ANNOTATOR) -> Callable[[View], View]:
    """For members whose role reaches `needed`; the view gets the member, with the project, in place of its id.

    Who has not signed in is sent to do so; to everybody else the project does not exist.
    """

    def gated(view: View) -> View:
        @login_required
        @wraps(view)
        def entered(request: HttpRequest, project_id: int, **kwargs: Any) -> HttpResponse:
            return view(request, access.membership(access.person(request), project_id, needed), **kwargs)

        return entered

    return gated


def number(given: str | None) -> int:
    """The number that a form or an address gave; -1, which is no row's, for anything else."""
    return int(given) if given and given.isascii() and given.isdigit() and len(given) <= 18 else -1


def context(member: Member, **more: Any) -> dict[str, Any]:
    """What templates/project.html needs, and `more`."""
    return {"project": member.project, "member": member, **more}
