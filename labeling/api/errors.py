"""API errors: every refusal as {"code", "detail", "fields"} with its status."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404
from django.utils.translation import gettext as _
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import exception_handler, set_rollback

from labeling.errors import Refused


def handle(error: Exception, context: dict[str, Any]) -> Response | None:
    """Turn an exception into a response; None for a bug, which then is a 500 and is logged."""
    if isinstance(error, Refused):
        set_rollback()
        return Response(body(error.code, str(error), error.fields), status=error.status)
    if isinstance(error, exceptions.ValidationError):
        return Response(_invalid(error), status=422)
    response = exception_handler(error, context)
    if response is None:
        return None
    response.data = body(_code(error), _detail(error), {})
    return response


def body(code: str, detail: str, fields: dict[str, str]) -> dict[str, Any]:
    """The shape of every error."""
    return {"code": code, "detail": detail, "fields": fields}


def _invalid(error: exceptions.ValidationError) -> dict[str, Any]:
    if not isinstance(error.detail, dict):
        return body("invalid", _flat(error.detail), {})
    fields = {name: _flat(messages) for name, messages in error.detail.items()}
    detail = " ".join(f"{name}: {message}" for name, message in fields.items())
    return body("invalid", detail or _("The request cannot be used."), fields)


def _flat(messages: Any) -> str:
    if isinstance(messages, dict):
        return " ".join(f"{name}: {_flat(message)}" for name, message in messages.items())
    if isinstance(messages, list | tuple):
        return " ".join(_flat(message) for message in messages)
    return str(messages)


def _code(error: Exception) -> str:
    if isinstance(error, Http404):
        return "not_found"
    if isinstance(error, PermissionDenied):
        return "not_allowed"
    codes = error.get_codes() if isinstance(error, exceptions.APIException) else "error"
    return codes if isinstance(codes, str) else "invalid"


def _detail(error: Exception) -> str:
    if isinstance(error, exceptions.APIException):
        return _flat(error.detail)
    return str(error) or _("There is no such page here.")
