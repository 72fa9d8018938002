"""Answer: what a person, or the imported file, said an item is."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class Origin(models.TextChoices):
    """Who or what said it."""

    PERSON = "person", _("Person")
    IMPORTED = "imported", _("Imported")


class Purpose(models.TextChoices):
    """What an answer is for."""

    LABEL = "label", _("Label")
    DECISION = "decision", _("Decision")  # a reviewer's word in a disagreement: outranks all other answers
    GOLD = "gold", _("Gold")  # to an item whose label is known: scores who answered, and labels nothing
    TRAINING = "training", _("Training")  # the same, and whoever answered was told the right label


LABELLING = (Purpose.LABEL, Purpose.DECISION)
"""Answers that say what an item is. The others only say how well somebody answers."""


class Answer(models.Model):
    """A label given to an item. Never changed: a change withdraws it and makes another, so the history stays.

    Columns whose index a longer one begins with have none of their own: most of an import's time is indexing.
    `value` holds what a kind of labelling needs beyond one label; empty for single labels.
    `suggested`, `confidence` and `snapshot` keep what the person saw suggested, if anything; `foreseen` and
    `foreseen_p` what the model thought likeliest when the item was handed out, shown or not.
    """

    project = models.ForeignKey("Project", models.CASCADE, related_name="answers", db_index=False)
    item = models.ForeignKey("Item", models.CASCADE, related_name="answers")
    author = models.ForeignKey(  # null: the imported file
        "User", models.PROTECT, null=True, related_name="answers", db_index=False
    )
    origin = models.CharField(max_length=8, choices=Origin.choices, default=Origin.PERSON)
    purpose = models.CharField(max_length=8, choices=Purpose.choices, default=Purpose.LABEL, db_default="label")
    label = models.ForeignKey("Label", models.PROTECT, related_name="answers")
    value = models.JSONField(default=dict, blank=True)
    key = models.UUIDField(null=True)  # idempotency key, the client's
    suggested = models.ForeignKey("Label", models.SET_NULL, null=True, related_name="+", db_index=False)
    confidence = models.FloatField(null=True)  # of the suggestion, in [0, 1]
    foreseen = models.ForeignKey("Label", models.SET_NULL, null=True, related_name="+", db_index=False)
    foreseen_p = models.FloatField(null=True)  # in [0, 1]
    snapshot = models.ForeignKey("Snapshot", models.SET_NULL, null=True, db_index=False)
    reason = models.CharField(max_length=16, blank=True)  # why the item was asked
    seconds = models.FloatField(null=True)  # from shown to answered
    created_at = models.DateTimeField()
    withdrawn_at = models.DateTimeField(null=True)
    withdrawn_by = models.ForeignKey("User", models.PROTECT, null=True, related_name="+", db_index=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["item", "author"],
                condition=models.Q(withdrawn_at=None, origin=Origin.PERSON)
                & models.Q(purpose__in=[Purpose.LABEL, Purpose.GOLD, Purpose.TRAINING]),
                name="one_current_answer_per_person_and_item",
            ),
            models.UniqueConstraint(
                fields=["item"],
                condition=models.Q(withdrawn_at=None, purpose=Purpose.DECISION),
                name="one_current_decision_per_item",
            ),
            models.UniqueConstraint(
                fields=["item"],
                condition=models.Q(withdrawn_at=None, origin=Origin.IMPORTED),
                name="one_current_imported_answer_per_item",
            ),
            models.UniqueConstraint(fields=["author", "key"], name="one_answer_per_key"),
        ]
        indexes = [
            models.Index(fields=["project", "withdrawn_at", "id"], name="current_answers"),
            models.Index(fields=["project", "author", "-id"], name="answers_of_author"),
            # For the deletion of what they name; imported answers name none of it, and cost nothing here.
            models.Index(fields=["suggested"], condition=models.Q(suggested__isnull=False), name="answers_suggested"),
            models.Index(fields=["snapshot"], condition=models.Q(snapshot__isnull=False), name="answers_of_snapshot"),
            models.Index(
                fields=["withdrawn_by"], condition=models.Q(withdrawn_by__isnull=False), name="answers_withdrawn"
            ),
        ]
