"""People: who they are, which projects they belong to, and in which role."""

from __future__ import annotations

import hashlib
from datetime import datetime

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.utils.translation import gettext_lazy as _


class User(AbstractUser):
    """A person who signs in. `keymap` maps an action's name to the key that the person chose for it."""

    language = models.CharField(max_length=16, blank=True)
    keymap = models.JSONField(default=dict, blank=True)

    def __str__(self) -> str:
        return self.get_full_name() or self.username


class Role(models.TextChoices):
    """What a member may do; each role may do all that the ones before it may."""

    ANNOTATOR = "annotator", _("Annotator")
    REVIEWER = "reviewer", _("Reviewer")
    ADMIN = "admin", _("Admin")

    @property
    def rank(self) -> int:
        """0 for annotators, 2 for admins."""
        return list(Role).index(self)

    def reaches(self, needed: Role) -> bool:
        """Whether this role may do what `needed` may."""
        return self.rank >= needed.rank


class Member(models.Model):
    """A person's place in one project."""

    project = models.ForeignKey("Project", models.CASCADE, related_name="members")
    user = models.ForeignKey(User, models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=16, choices=Role.choices)
    created_at = models.DateTimeField(auto_now_add=True)
    paused_at = models.DateTimeField(null=True)  # no items are handed out: too many gold items were answered wrong
    resumed_at = models.DateTimeField(null=True)  # an admin lifted it; gold answers from here on count anew

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "user"], name="one_membership_per_person")]


class Invitation(models.Model):
    """A link that makes whoever opens it a member; only the token's hash is kept."""

    project = models.ForeignKey("Project", models.CASCADE, related_name="invitations")
    role = models.CharField(max_length=16, choices=Role.choices)
    token_hash = models.CharField(max_length=64, unique=True)
    created_by = models.ForeignKey(User, models.CASCADE)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    uses_left = models.PositiveIntegerField(default=1)
    revoked_at = models.DateTimeField(null=True)

    @staticmethod
    def digest(token: str) -> str:
        """The hash under which a token is kept."""
        return hashlib.sha256(token.encode()).hexdigest()

    def is_open(self, now: datetime) -> bool:
        """Whether somebody can still join by it."""
        return self.revoked_at is None and self.expires_at > now and self.uses_left > 0
