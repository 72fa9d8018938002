"""Snapshot: one adapted model's facts; its predictions are arrays, see labeling/pool.py."""

from __future__ import annotations

from django.db import models


class Snapshot(models.Model):
    """What one adaptation learned from and how it did.

    `items` is how many rows its arrays cover; `labels` the label ids in column order.
    `facts`: encoder, gate, weights, lambda, temperature, seed. `estimates`: accuracy and interval, per label,
    from cross-validation on the answers; empty where they cannot tell. `ahead` in it: what the next answers may gain.
    """

    project = models.ForeignKey("Project", models.CASCADE, related_name="snapshots")
    number = models.PositiveIntegerField()  # 1 first
    checkpoint = models.ForeignKey("Checkpoint", models.SET_NULL, null=True, related_name="snapshots")
    answers = models.PositiveIntegerField()
    items = models.PositiveBigIntegerField()
    labels = models.JSONField()
    facts = models.JSONField(default=dict)
    estimates = models.JSONField(default=dict)
    seconds = models.FloatField()
    created_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "number"], name="snapshot_number_once")]
        ordering = ["number"]
