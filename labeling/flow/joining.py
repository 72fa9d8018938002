"""Joining: people come to a project, by invitation or by name, change roles, and leave."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils.translation import gettext as _

from labeling.errors import BadField, Conflict, NotFound
from labeling.locking import lock
from labeling.models import Invitation, Lease, Member, Project, Role, User

MOST_USES = 1_000
MOST_DAYS = 365


def invite(
    *, project: Project, inviter: User, role: str, now: datetime, uses: int = 1, days: int = 7
) -> tuple[Invitation, str]:
    """Make an invitation that `uses` people can join by for `days` days. Returns it with its token.

    Only the token's hash is kept: this is the one time that it is seen. Raises BadField.
    """
    _check_role(role)
    if not 1 <= uses <= MOST_USES:
        raise BadField("uses", _("Give a number from 1 to %(most)s.") % {"most": MOST_USES})
    if not 1 <= days <= MOST_DAYS:
        raise BadField("days", _("Give a number from 1 to %(most)s.") % {"most": MOST_DAYS})
    token = secrets.token_urlsafe(24)
    invitation = Invitation.objects.create(
        project=project,
        role=role,
        token_hash=Invitation.digest(token),
        created_by=inviter,
        expires_at=now + timedelta(days=days),
        uses_left=uses,
    )
    return invitation, token


def invitation_for(token: str, now: datetime) -> Invitation:
    """The open invitation behind a link. Raises NotFound for any other token, whatever is wrong with it."""
    found = Invitation.objects.select_related("project", "created_by").filter(token_hash=Invitation.digest(token))
    invitation = found.first()
    if invitation is None or not invitation.is_open(now):
        raise NotFound("invitation")
    return invitation


@transaction.atomic
def join(*, invitation: Invitation, user: User, now: datetime) -> Member:
    """Make the person a member. Who is one already stays what they are, and uses nothing up.

    Raises NotFound where the last use went to someone who was faster, or the link has run out.
    """
    member = Member.objects.filter(project=invitation.project_id, user=user).first()
    if member is not None:
        return member
    open_ones = Invitation.objects.filter(pk=invitation.pk, uses_left__gt=0, revoked_at=None, expires_at__gt=now)
    if not open_ones.update(uses_left=F("uses_left") - 1):
        raise NotFound("invitation")
    return Member.objects.create(project_id=invitation.project_id, user=user, role=invitation.role)


@transaction.atomic
def sign_up(*, invitation: Invitation, username: str, name: str, password: str, now: datetime) -> Member:
    """Make an account and join with it. Raises BadField or Conflict; then there is no account either."""
    user = User(username=User.normalize_username(username.strip()), first_name=name.strip())
    _check_account(user, password)
    user.set_password(password)
    try:
        with transaction.atomic():
            user.save()
    except IntegrityError:
        raise _name_taken(user.username) from None
    return join(invitation=invitation, user=user, now=now)


def revoke(*, invitation: Invitation, now: datetime) -> None:
    """Close the invitation; who joined by it stays."""
    Invitation.objects.filter(pk=invitation.pk, revoked_at=None).update(revoked_at=now)


@transaction.atomic
def add(*, project: Project, username: str, role: str) -> Member:
    """Make someone who has an account a member. Raises BadField, or Conflict for a member."""
    _check_role(role)
    user = User.objects.filter(username=username.strip(), is_active=True).first()
    if user is None:
        message = _("Nobody here is called “%(name)s”. Send an invitation instead.")
        raise BadField("username", message % {"name": username})
    member, is_new = Member.objects.get_or_create(project=project, user=user, defaults={"role": role})
    if not is_new:
        raise Conflict(_("%(name)s is a member already.") % {"name": user})
    return member


@transaction.atomic
def change_role(*, member: Member, role: str) -> Member:
    """Give a member another role. Raises Conflict where no admin would be left."""
    _check_role(role)
    if role != Role.ADMIN:
        _keep_an_admin(member)
    member.role = role
    member.save(update_fields=["role"])
    return member


@transaction.atomic
def remove(*, member: Member) -> None:
    """End a membership; the person's answers stay, the items in their hands go back to the others.

    Raises Conflict where no admin would be left.
    """
    _keep_an_admin(member)
    Lease.objects.filter(project=member.project_id, holder=member.user_id).delete()
    member.delete()


def _keep_an_admin(member: Member) -> None:
    admins = Member.objects.filter(project=member.project_id, role=Role.ADMIN)
    # The lock keeps the last two admins from removing each other at the same time.
    if list(lock(admins).values_list("pk", flat=True)) == [member.pk]:
        raise Conflict(_("The project needs an admin. Make someone else an admin first."))


def _check_role(role: str) -> None:
    if role not in Role.values:
        raise BadField("role", _("Choose one of: %(roles)s.") % {"roles": ", ".join(Role.values)})


def _check_account(user: User, password: str) -> None:
    try:
        User._meta.get_field("username").clean(user.username, user)
    except ValidationError as error:
        raise BadField("username", " ".join(error.messages)) from None
    if User.objects.filter(username__iexact=user.username).exists():
        raise _name_taken(user.username)
    if len(user.first_name) > 150:
        raise BadField("name", _("A name has at most 150 characters."))
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise BadField("password", " ".join(error.messages)) from None


def _name_taken(username: str) -> Conflict:
    message = _("The user name “%(name)s” is taken.") % {"name": username}
    return Conflict(message, {"username": message})
