"""Project: what is labelled, with which labels, and how far it has come."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class Project(models.Model):
    """A data set being labelled, and its settings."""

    class Modality(models.TextChoices):
        """What an item is."""

        TEXT = "text", _("Text")
        IMAGE = "image", _("Images")

    class Kind(models.TextChoices):
        """What an answer's value is; labeling/kinds/ has one module for each."""

        SINGLE_LABEL = "single_label", _("One label per item")

    class Overlap(models.TextChoices):
        """Which items more than one person is asked for."""

        ALL = "all", _("Every item")
        SHARE = "share", _("A share of the items")
        ADAPTIVE = "adaptive", _("Where it is needed: until the label is sure")

    class Visibility(models.TextChoices):
        """What whoever answers an item sees of other people's answers to it."""

        BLIND = "blind", _("Nothing: everybody answers unswayed")
        AFTER = "after", _("Who said what, once they have answered themselves")
        OPEN = "open", _("Who said what, before they answer")

    class Consensus(models.TextChoices):
        """How several answers become one label."""

        SKILL = "dawid_skene", _("Weighed by how well each person answers (Dawid-Skene)")
        MAJORITY = "majority", _("By majority")

    name = models.CharField(max_length=200)
    description = models.TextField(blank=True)
    modality = models.CharField(max_length=16, choices=Modality.choices)
    kind = models.CharField(max_length=32, choices=Kind.choices, default=Kind.SINGLE_LABEL)
    guidelines = models.TextField(blank=True)
    show_suggestions = models.BooleanField(default=True)
    goal_accuracy = models.FloatField(default=0.95)  # in (0, 1]
    lease_seconds = models.PositiveIntegerField(default=600)
    random_share = models.FloatField(default=0.05)  # of the queue, in [0, 1]: asked at random
    overlap = models.PositiveSmallIntegerField(default=1)  # answers by different people that an item gets, at most
    overlap_mode = models.CharField(max_length=8, choices=Overlap.choices, default=Overlap.ALL)
    overlap_share = models.FloatField(default=0.2)  # of the items, in [0, 1], for Overlap.SHARE; chosen by their row
    sure_enough = models.FloatField(default=0.95)  # posterior in (0, 1) at which Overlap.ADAPTIVE asks nobody else
    consensus = models.CharField(max_length=11, choices=Consensus.choices, default=Consensus.SKILL)
    visibility = models.CharField(
        max_length=5, choices=Visibility.choices, default=Visibility.BLIND, db_default="blind"
    )  # questions without a suggestion stay blind whatever it says
    gold_share = models.FloatField(default=0.0)  # of questions that are gold items, in [0, 0.5]
    gold_threshold = models.FloatField(default=0.8)  # accuracy on gold items below which an annotator is warned of
    gold_pause = models.BooleanField(default=False)  # and paused, where the whole interval lies below it
    training_items = models.PositiveSmallIntegerField(default=0)  # gold items that newcomers begin with, with feedback
    tunes = models.BooleanField(default=True, db_default=True)  # whether the encoder learns from the answers
    blind_share = models.FloatField(default=0.0)  # of questions taken from Ask while there are any, in [0, 1)
    encoder = models.CharField(max_length=200, blank=True)  # chosen at the first embedding unless set before
    encoder_fixed = models.BooleanField(default=False)  # somebody named it: no comparison changes it
    encoder_evidence = models.JSONField(default=dict)  # the last comparison of encoders, see flow/comparing.py
    finished_at = models.DateTimeField(null=True)  # an admin said that no more answers are wanted
    contributes = models.BooleanField(default=False)  # its answers may improve the models of other projects
    reuses = models.BooleanField(default=True)  # labels of contributing projects give those of the same name a start
    checkpoint = models.ForeignKey(
        "Checkpoint", models.SET_NULL, null=True, related_name="projects"
    )  # null: that in use
    pinned = models.ForeignKey("Snapshot", models.SET_NULL, null=True, related_name="+")  # used in the newest's stead
    created_by = models.ForeignKey("User", models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.name


class Label(models.Model):
    """One of the project's labels. `position` is its dense column in predictions, 0 first; never reused."""

    project = models.ForeignKey(Project, models.CASCADE, related_name="labels")
    position = models.PositiveIntegerField()
    name = models.CharField(max_length=200)
    description = models.TextField(blank=True)  # also tells the model what the label means
    hotkey = models.CharField(max_length=1, blank=True)
    color = models.CharField(max_length=7, blank=True)
    archived_at = models.DateTimeField(null=True)  # no longer offered; answers that gave it stay
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(fields=["project", "name"], name="label_name_once_per_project"),
            models.UniqueConstraint(fields=["project", "position"], name="label_position_once_per_project"),
        ]

    def __str__(self) -> str:
        return self.name


class Tally(models.Model):
    """How many items stand where; owned by labeling/standing.py, whose `rebuild` derives it anew.

    `items` is also the next item's dense row number.
    """

    project = models.OneToOneField(Project, models.CASCADE, related_name="tally")
    items = models.PositiveBigIntegerField(default=0)
    answered = models.PositiveBigIntegerField(default=0)
    imported = models.PositiveBigIntegerField(default=0)
    accepted = models.PositiveBigIntegerField(default=0)

    @property
    def open(self) -> int:
        """Items that have no label yet."""
        return self.items - self.answered - self.imported - self.accepted
