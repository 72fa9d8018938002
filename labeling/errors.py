"""Errors: everything we refuse, each with a code, a status and a message that names the way out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from django.utils.translation import gettext as _
from django.utils.translation import pgettext


class Refused(Exception):
    """A request that cannot be carried out; nothing was changed.

    `code` is stable and for programs; `status` is the HTTP status; str() is for people, in their language;
    `fields` maps a field's name to what is wrong with it.
    """

    code = "refused"
    status = 422

    def __init__(self, message: str, fields: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.fields = dict(fields or {})


class NotSignedIn(Refused):
    """Nobody is signed in."""

    code = "not_authenticated"
    status = 401

    def __init__(self) -> None:
        super().__init__(_("Sign in first."))


class NotFound(Refused):
    """The row does not exist, or this person may not know that it does."""

    code = "not_found"
    status = 404

    def __init__(self, what: str = "page") -> None:
        super().__init__(_("There is no such %(what)s here.") % {"what": _named().get(what, what)})


class NotAllowed(Refused):
    """The person is a member, but the role does not reach so far."""

    code = "not_allowed"
    status = 403

    def __init__(self, needed: str) -> None:
        super().__init__(_("This needs the role “%(role)s”. Ask an admin of the project.") % {"role": needed})


class StaffOnly(Refused):
    """Something that concerns the whole installation, asked by a person who is not staff."""

    code = "not_allowed"
    status = 403

    def __init__(self) -> None:
        super().__init__(_("Only staff may make projects here. Ask whoever runs this installation."))


class UnknownLabel(Refused):
    """A label that the project does not have."""

    code = "unknown_label"

    def __init__(self, name: object, known: Iterable[str] = ()) -> None:
        names = ", ".join(list(known)[:10])
        message = _("The project has no label “%(name)s”.") % {"name": name}
        if names:
            message += " " + _("It has: %(names)s.") % {"names": names}
        super().__init__(message, {"label": message})


class Conflict(Refused):
    """Someone was faster, or the row is no longer in the state that the request supposes."""

    code = "conflict"
    status = 409


class BadField(Refused):
    """One field of a request cannot be used."""

    code = "bad_field"

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message, {field: message})


class BadFile(Refused):
    """An uploaded file that cannot be read at all."""

    code = "bad_file"


class Cancelled(Exception):
    """A job was asked to stop; what it had done by then stays."""


def _named() -> dict[str, str]:
    """What can be missing, in the reader's language; models are known by their verbose names."""
    return {
        "answer": pgettext("missing", "answer"),
        "batch": pgettext("missing", "batch"),
        "certificate": pgettext("missing", "certificate"),
        "checkpoint": pgettext("missing", "model"),
        "export": pgettext("missing", "export"),
        "image": pgettext("missing", "image"),
        "invitation": pgettext("missing", "invitation"),
        "item": pgettext("missing", "item"),
        "job": pgettext("missing", "job"),
        "label": pgettext("missing", "label"),
        "member": pgettext("missing", "member"),
        "page": pgettext("missing", "page"),
        "project": pgettext("missing", "project"),
        "rule": pgettext("missing", "rule"),
        "snapshot": pgettext("missing", "snapshot"),
        "upload": pgettext("missing", "upload"),
    }
