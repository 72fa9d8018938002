"""Lease: an item is in one person's hands; before that it is a candidate in the queue."""

from __future__ import annotations

from django.db import models

SENT_BACK = "sent_back"
"""The reason of a lease that a reviewer made, and the tab of one that waits for its holder to come."""

SECOND = range(-500_000, -100_000)
"""Positions of candidates that want another answer: before what the model ranks, behind what came back."""


class Candidate(models.Model):
    """An item in the queue. Lower positions are asked first.

    `reason`: {"code": ..., "labels": [ids], "p": [confidences]}; the code is one of margin, typical, random, returned,
    rejected, doubted, second and blind.
    `top`: the likeliest labels when it was queued: [[label id, probability in [0, 1]], ...], likeliest first.
    """

    project = models.ForeignKey("Project", models.CASCADE, related_name="candidates", db_index=False)
    item = models.OneToOneField("Item", models.CASCADE, related_name="candidate")
    position = models.IntegerField()
    snapshot = models.ForeignKey("Snapshot", models.CASCADE, null=True, db_index=False)
    reason = models.JSONField(default=dict)
    top = models.JSONField(default=list)

    class Meta:
        indexes = [models.Index(fields=["project", "position"], name="queue_order")]


class Ask(models.Model):
    """A question beside the queue, mixed in unmarked and asked blind: an audit, a known answer, a second opinion.

    Whoever asks it (its `purpose`) makes and deletes it. It is given to people who have not yet answered, skipped,
    accepted or refused the item, never to `not_for`, and only to `only_for` where that is set; once, unless `lasting`.
    Its item is kept out of the queue. `Project.blind_share` says how often such questions are mixed in.
    """

    project = models.ForeignKey("Project", models.CASCADE, related_name="asks")
    item = models.ForeignKey("Item", models.CASCADE, related_name="asks")
    purpose = models.CharField(max_length=16)  # "audit", ...; nobody who answers is told
    not_for = models.ForeignKey("User", models.CASCADE, null=True, related_name="+")
    only_for = models.ForeignKey("User", models.CASCADE, null=True, related_name="+")
    lasting = models.BooleanField(default=False)  # asked of everybody, not only until somebody has answered
    created_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["item", "purpose"], name="one_ask_per_item_and_purpose")]


class Lease(models.Model):
    """An item given to a person until `expires_at`. `slot` leaves room for overlap: one lease per item and slot."""

    project = models.ForeignKey("Project", models.CASCADE, related_name="leases", db_index=False)
    item = models.ForeignKey("Item", models.CASCADE, related_name="leases", db_index=False)
    slot = models.PositiveSmallIntegerField(default=0)
    holder = models.ForeignKey("User", models.CASCADE, related_name="leases", db_index=False)
    tab = models.CharField(max_length=64, blank=True)  # the browser tab that works on it
    snapshot = models.ForeignKey("Snapshot", models.CASCADE, null=True, db_index=False)
    reason = models.JSONField(default=dict)
    top = models.JSONField(default=list)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["item", "slot"], name="one_lease_per_item_and_slot")]
        indexes = [models.Index(fields=["project", "holder", "expires_at"], name="leases_of_holder")]


class Mark(models.Model):
    """What a person noted about an item without labelling it."""

    class Code(models.TextChoices):
        """Skip: not for this person again. Flag: somebody should look. Reject: this suggestion is wrong.
        Keep: this label is right after all."""

        SKIP = "skip"
        FLAG = "flag"
        REJECT = "reject"
        KEEP = "keep"

    project = models.ForeignKey("Project", models.CASCADE, related_name="marks")
    item = models.ForeignKey("Item", models.CASCADE, related_name="marks")
    author = models.ForeignKey("User", models.CASCADE, related_name="marks")
    code = models.CharField(max_length=8, choices=Code.choices)
    label = models.ForeignKey("Label", models.CASCADE, null=True)  # what was rejected or confirmed
    note = models.TextField(blank=True)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["item", "author", "code"], name="one_mark_per_person_and_code")]
        indexes = [models.Index(fields=["project", "code", "author"], name="marks_by_code")]
