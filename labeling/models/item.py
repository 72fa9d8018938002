"""Item: one text or image to label."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class Status(models.TextChoices):
    """Where an item stands: what gave it the label it has."""

    OPEN = "open", _("Open")
    ANSWERED = "answered", _("Answered by a person")
    IMPORTED = "imported", _("Came with the file")
    ACCEPTED = "accepted", _("Suggested and accepted")


class Item(models.Model):
    """One text or image. `row` is its dense number in the project, 0 first: its place in every array.

    `status` and `label` are derived from answers and acceptances; labeling/standing.py alone writes them.
    """

    project = models.ForeignKey("Project", models.CASCADE, related_name="items", db_index=False)
    row = models.PositiveBigIntegerField()
    text = models.TextField(blank=True)
    image = models.CharField(max_length=255, blank=True)  # path in file storage
    image_type = models.CharField(max_length=32, blank=True)  # image/png, ...
    width = models.PositiveIntegerField(null=True)  # pixels
    height = models.PositiveIntegerField(null=True)  # pixels
    name = models.CharField(max_length=500, blank=True)  # the file's name, for images
    metadata = models.JSONField(default=dict, blank=True)
    external_id = models.CharField(max_length=255, null=True)
    content_hash = models.BinaryField(max_length=16)
    created_at = models.DateTimeField(auto_now_add=True)
    status = models.CharField(max_length=8, choices=Status.choices, default=Status.OPEN)
    label = models.ForeignKey("Label", models.PROTECT, null=True, related_name="+")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "row"], name="row_once_per_project"),
            models.UniqueConstraint(fields=["project", "content_hash"], name="content_once_per_project"),
            models.UniqueConstraint(fields=["project", "external_id"], name="external_id_once_per_project"),
        ]
        indexes = [models.Index(fields=["project", "status", "row"], name="item_by_status")]


class Reference(models.Model):
    """A label from the imported file that is kept hidden, to measure against; never learned from."""

    item = models.OneToOneField(Item, models.CASCADE, related_name="reference")
    label = models.ForeignKey("Label", models.CASCADE, related_name="+")
