"""Quality: items whose label is known, how well people answer, and what is said about an item."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class Gold(models.Model):
    """An item whose label is known: asked unmarked, and whoever answers is scored by it."""

    class Source(models.TextChoices):
        """How the label is known."""

        DECISION = "decision", _("Decided by a reviewer")
        IMPORTED = "imported", _("Came with the file")
        REFERENCE = "reference", _("The file's hidden reference")
        HAND = "hand", _("Set by hand")

    project = models.ForeignKey("Project", models.CASCADE, related_name="gold")
    item = models.OneToOneField("Item", models.CASCADE, related_name="gold")
    label = models.ForeignKey("Label", models.PROTECT, related_name="+")
    source = models.CharField(max_length=9, choices=Source.choices)
    set_by = models.ForeignKey("User", models.PROTECT, related_name="+")
    created_at = models.DateTimeField()


class Skills(models.Model):
    """How people, and the model, answer: what the newest weighing of all answers learned. One per project.

    `people`: user ids, 0 for the model; `labels`: label ids. `confusion`: float16 [people, is, said], the bytes in C
    order; `prior` [labels]. `number` rises with each weighing.
    """

    project = models.OneToOneField("Project", models.CASCADE, related_name="skills")
    number = models.PositiveIntegerField(default=0)
    people = models.JSONField(default=list)
    labels = models.JSONField(default=list)
    confusion = models.BinaryField(default=bytes)
    prior = models.JSONField(default=list)
    seen = models.CharField(max_length=16, blank=True)  # a hash of what was weighed: the same needs no other weighing
    made_at = models.DateTimeField()


class Comment(models.Model):
    """Something said about an item, in its thread. `sent_to`: the item went back to this person with it."""

    project = models.ForeignKey("Project", models.CASCADE, related_name="comments")
    item = models.ForeignKey("Item", models.CASCADE, related_name="comments")
    author = models.ForeignKey("User", models.PROTECT, related_name="+")
    text = models.TextField()
    sent_to = models.ForeignKey("User", models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["pk"]
