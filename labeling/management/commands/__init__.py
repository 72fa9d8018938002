"""Commands: everything a person can do, without a browser."""

from __future__ import annotations

from django.core.management.base import CommandError

from labeling.models import Project, User


def project_named(wanted: str) -> Project:
    """The project with this number, or the only one with this name; raises CommandError."""
    if wanted.isdigit() and (found := Project.objects.filter(pk=int(wanted)).first()):
        return found
    named = list(Project.objects.filter(name=wanted).order_by("pk"))
    if len(named) == 1:
        return named[0]
    if named:
        raise CommandError(
            f"Several projects are named {wanted}: {', '.join(str(one.pk) for one in named)}. Give the number."
        )
    known = ", ".join(f"{one.pk} ({one.name})" for one in Project.objects.order_by("pk")[:20])
    raise CommandError(f"There is no project {wanted}. There is: {known or 'none yet'}.")


def user_named(username: str, default: User | None) -> User:
    """The person with this user name, else `default`; raises CommandError where there is neither."""
    if not username:
        if default is None:
            raise CommandError("There is nobody to own the project. Make an admin first: manage.py createsuperuser")
        return default
    found = User.objects.filter(username=username).first()
    if found is None:
        raise CommandError(f"There is no user {username}.")
    return found
