"""Audit: labels that people give blind to test frozen suggestions, and the certificate or measurement they serve."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class Certificate(models.Model):
    """A claim about frozen suggestions that audits test; or a sample of labels that audits only measure.

    What was frozen (item ids, rows, label ids, confidences, surest first) are arrays, see labeling/pool.py; their
    `items_sha256` is here. `seed` fixes the order of audits and is told to nobody while it runs.
    """

    class Kind(models.TextChoices):
        """A claim is tested until it passes or fails; a sample ends with an interval."""

        CLAIM = "claim", _("Certificate")
        SAMPLE = "sample", _("Audit sample")

    class State(models.TextChoices):
        """Where it stands."""

        RUNNING = "running", _("Running")
        PASSED = "passed", _("Passed")
        FAILED = "failed", _("Failed")
        MEASURED = "measured", _("Measured")
        GIVEN_UP = "given_up", _("Given up")

    project = models.ForeignKey("Project", models.CASCADE, related_name="certificates")
    number = models.PositiveIntegerField()  # 1 first, in its project
    kind = models.CharField(max_length=8, choices=Kind.choices, default=Kind.CLAIM)
    state = models.CharField(max_length=8, choices=State.choices, default=State.RUNNING)
    snapshot = models.ForeignKey("Snapshot", models.PROTECT, null=True)  # null: a sample without suggestions
    eps = models.FloatField(default=0.0)  # share of the set that may be wrong, in (0, 1); 0 for samples
    delta = models.FloatField(default=0.05)  # chance that any certificate so far is wrong, in (0, 1)
    attempt = models.PositiveIntegerField(
        default=0
    )  # of the project's claims, 1 first: says how much of delta it spends
    seed = models.CharField(max_length=64)
    items = models.PositiveBigIntegerField()  # how many candidates
    items_sha256 = models.CharField(max_length=64)
    prefixes = models.JSONField(default=list)  # of a claim: sizes, rising
    strata = models.JSONField(default=list)  # of a sample: [[what gave the labels, how many items], ...]
    budget = models.PositiveIntegerField()  # audits at most
    second_share = models.FloatField(default=0.0)  # of the audits, answered by two people, in [0, 1]
    self_audited = models.BooleanField(default=False)  # whoever asked for it audits too: there was nobody else
    accepted = models.PositiveBigIntegerField(default=0)  # how many of the surest passed
    human_error = models.JSONField(default=dict)  # what was known of its auditors' own error when it was decided
    started_by = models.ForeignKey("User", models.PROTECT, related_name="+")
    started_at = models.DateTimeField()
    decided_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "number"], name="certificate_number_once"),
            models.UniqueConstraint(
                fields=["project", "kind"], condition=models.Q(state="running"), name="one_running_of_a_kind"
            ),
        ]
        ordering = ["number"]


class Audit(models.Model):
    """One item drawn for a certificate. `answer`, `label` and `outcome` are written when the certificate is decided.

    Before, what people said is read from their answers: an audit is an answer like any other.
    """

    class Outcome(models.TextChoices):
        """What the blind answer says of the frozen label. Nobody could answer: it counts as wrong."""

        RIGHT = "right", _("Right")
        WRONG = "wrong", _("Wrong")
        UNANSWERED = "none", _("Nobody could say")

    certificate = models.ForeignKey(Certificate, models.CASCADE, related_name="audits")
    item = models.ForeignKey("Item", models.CASCADE, related_name="audits")
    place = models.PositiveIntegerField()  # in the order of audits, 0 first
    stratum = models.CharField(max_length=8, blank=True)  # of a sample: what gave the label, as Item.status names it
    suggested = models.ForeignKey("Label", models.PROTECT, related_name="+")  # frozen: what is tested
    wants_second = models.BooleanField(default=False)
    answer = models.ForeignKey("Answer", models.SET_NULL, null=True, related_name="+")
    label = models.ForeignKey("Label", models.PROTECT, null=True, related_name="+")  # what the auditor said
    second_label = models.ForeignKey("Label", models.PROTECT, null=True, related_name="+")
    outcome = models.CharField(max_length=5, choices=Outcome.choices, blank=True)
    drawn_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["certificate", "item"], name="item_once_per_certificate")]
        ordering = ["place"]
