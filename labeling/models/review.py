"""Review: suggestions that a person accepted. An acceptance is never an answer."""

from __future__ import annotations

from django.db import models


class Batch(models.Model):
    """Suggestions accepted in one go, to be undone in one go."""

    project = models.ForeignKey("Project", models.CASCADE, related_name="batches")
    accepted_by = models.ForeignKey("User", models.PROTECT, related_name="+")
    snapshot = models.ForeignKey("Snapshot", models.PROTECT)
    threshold = models.FloatField(null=True)  # lowest confidence accepted, in [0, 1]; null: chosen one by one
    label = models.ForeignKey("Label", models.PROTECT, null=True)  # null: any label
    certificate = models.ForeignKey("Certificate", models.PROTECT, null=True, related_name="batches")  # whose set it is
    count = models.PositiveBigIntegerField(default=0)
    created_at = models.DateTimeField()
    undone_at = models.DateTimeField(null=True)
    undone_by = models.ForeignKey("User", models.PROTECT, null=True, related_name="+")


class Acceptance(models.Model):
    """A suggestion that became the item's label because somebody accepted it."""

    project = models.ForeignKey("Project", models.CASCADE, related_name="acceptances", db_index=False)
    item = models.ForeignKey("Item", models.CASCADE, related_name="acceptances")
    batch = models.ForeignKey(Batch, models.CASCADE, related_name="acceptances")
    label = models.ForeignKey("Label", models.PROTECT, related_name="+")
    confidence = models.FloatField()  # in [0, 1]
    withdrawn_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["item"], condition=models.Q(withdrawn_at=None), name="one_current_acceptance_per_item"
            )
        ]
        indexes = [models.Index(fields=["project", "withdrawn_at"], name="current_acceptances")]
