"""Checkpoint: what was learned over many projects, to begin new ones with."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _


class Checkpoint(models.Model):
    """Meta-trained weights and what is known of them. The file lies in storage; without one the recipe's fixed weights.

    The one in use is the one chosen last (`chosen_at`); a project may have one of its own. `sources`: what it was
    trained on, each {"name" or "project", "items", "labels", "content"}. `curves`: {"steps", "training", "validation"}.
    `figures`: how it did on tasks kept from it. `evidence`: of the trial that decided whether it is used.
    """

    class Origin(models.TextChoices):
        """Where it comes from."""

        FIXED = "fixed", _("Fixed weights, not trained")
        SHIPPED = "shipped", _("Came with the application")
        SELF_TRAINED = "self-trained", _("Trained here, on finished projects")

    class State(models.TextChoices):
        """Whether it may be used."""

        READY = "ready", _("Ready")
        REFUSED = "refused", _("Not better, so not used")

    name = models.CharField(max_length=200)
    origin = models.CharField(max_length=16, choices=Origin.choices)
    state = models.CharField(max_length=8, choices=State.choices, default=State.READY)
    parent = models.ForeignKey("self", models.SET_NULL, null=True, related_name="children")
    content_hash = models.CharField(max_length=64, unique=True)  # SHA-256 of the file; of nothing for the fixed weights
    path = models.CharField(max_length=255, blank=True)  # in file storage
    config = models.JSONField(default=dict)
    sources = models.JSONField(default=list)
    curves = models.JSONField(default=dict)
    figures = models.JSONField(default=dict)
    evidence = models.JSONField(default=dict)
    created_at = models.DateTimeField()
    chosen_at = models.DateTimeField(null=True)  # when it last became the one in use

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return gettext("The recipe's fixed weights") if self.origin == self.Origin.FIXED else self.name
