"""Outlines: what review, the overview and exports answer, as the API's description shows it."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from labeling.api.jobs import JobOut
from labeling.suggestions import State


class ShortItem(serializers.Serializer[Any]):
    """As much of an item as a row of a table needs."""

    id = serializers.IntegerField()
    row = serializers.IntegerField()
    external_id = serializers.CharField(allow_null=True)
    text = serializers.CharField(help_text="At most its first 1,000 characters.")
    cut = serializers.BooleanField(help_text="Whether the text is longer.")
    image = serializers.CharField(allow_null=True)
    width = serializers.IntegerField(allow_null=True)
    height = serializers.IntegerField(allow_null=True)
    name = serializers.CharField()


class GivenOut(serializers.Serializer[Any]):
    """Who gave the label that an item has."""

    origin = serializers.ChoiceField(choices=["person", "imported", "accepted"])
    label = serializers.IntegerField()  # type: ignore[assignment]
    by = serializers.CharField()
    by_id = serializers.IntegerField(allow_null=True)
    at = serializers.DateTimeField()
    batch = serializers.IntegerField(required=False, help_text="Of an accepted one; to undo it.")
    answer = serializers.IntegerField(required=False, help_text="Of an answered one.")


class SpokenRule(serializers.Serializer[Any]):
    """A rule that spoke of an item."""

    rule = serializers.IntegerField()
    label = serializers.IntegerField(help_text="The label it speaks for.")  # type: ignore[assignment]
    says = serializers.CharField(help_text="The rule in words.")


class ReviewedSuggestion(serializers.Serializer[Any]):
    """What a snapshot says of one item."""

    item = ShortItem()
    label = serializers.IntegerField()  # type: ignore[assignment]
    confidence = serializers.FloatField(help_text="In [0, 1], calibrated.")
    runner_up = serializers.IntegerField(allow_null=True)
    runner_up_confidence = serializers.FloatField(allow_null=True)
    margin = serializers.FloatField()
    state = serializers.ChoiceField(choices=State.choices)
    given = GivenOut(allow_null=True)
    rules = SpokenRule(many=True, help_text="What spoke of the item when the snapshot was made.")


class SuggestionPage(serializers.Serializer[Any]):
    """A page of suggestions."""

    snapshot = serializers.IntegerField()
    count = serializers.IntegerField(help_text="How many match in all.")
    results = ReviewedSuggestion(many=True)
    next = serializers.CharField(allow_null=True, help_text="The next page's `cursor`.")


class HistogramOut(serializers.Serializer[Any]):
    """How suggestions spread over confidence."""

    snapshot = serializers.IntegerField()
    count = serializers.IntegerField()
    bins = serializers.ListField(child=serializers.IntegerField(), help_text="Counts in 20 equal parts of [0, 1].")
    above = serializers.ListField(child=serializers.IntegerField(), help_text="At least t / 100 sure, t from 0 to 100.")
    errors = serializers.ListField(
        child=serializers.FloatField(),  # type: ignore[assignment]
        help_text="How many of those the model itself expects to be wrong.",
    )


class BatchOut(serializers.Serializer[Any]):
    """Suggestions accepted in one go."""

    id = serializers.IntegerField()
    by = serializers.CharField()
    snapshot = serializers.IntegerField()
    threshold = serializers.FloatField(allow_null=True)
    label = serializers.IntegerField(allow_null=True)  # type: ignore[assignment]
    count = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    undone_at = serializers.DateTimeField(allow_null=True)
    undone_by = serializers.CharField()
    job = JobOut(allow_null=True)


class BatchList(serializers.Serializer[Any]):
    """The newest batches."""

    results = BatchOut(many=True)


class Accepted(serializers.Serializer[Any]):
    """What was accepted, or is being accepted by the job."""

    batch = serializers.IntegerField()
    count = serializers.IntegerField()
    job = JobOut(allow_null=True)


class LabelCount(serializers.Serializer[Any]):
    """How many suggestions a label has."""

    label = serializers.IntegerField()  # type: ignore[assignment]
    count = serializers.IntegerField()


class PreviewOut(serializers.Serializer[Any]):
    """What accepting would settle."""

    count = serializers.IntegerField()
    by_label = LabelCount(many=True)
    expected_errors = serializers.FloatField(help_text="How many the model itself expects to be wrong; an estimate.")
    expected_error = serializers.FloatField(allow_null=True, help_text="The same as a share in [0, 1].")


class Rejected(serializers.Serializer[Any]):
    """The refused suggestion."""

    item = serializers.IntegerField()
    label = serializers.IntegerField()  # type: ignore[assignment]


class ExportOut(serializers.Serializer[Any]):
    """An exported file, or one that is being made."""

    id = serializers.IntegerField()
    name = serializers.CharField()
    size = serializers.IntegerField(help_text="Bytes.")
    ready = serializers.BooleanField()
    created_at = serializers.DateTimeField()
    created_by = serializers.CharField()
    options = serializers.DictField()
    job = JobOut()


class ExportPage(serializers.Serializer[Any]):
    """Exports, newest first."""

    count = serializers.IntegerField()
    next = serializers.CharField(allow_null=True)
    previous = serializers.CharField(allow_null=True)
    results = ExportOut(many=True)


class SnapshotOut(serializers.Serializer[Any]):
    """What one adaptation learned from, and how it did."""

    number = serializers.IntegerField()
    answers = serializers.IntegerField()
    items = serializers.IntegerField()
    labels = serializers.ListField(child=serializers.IntegerField(), help_text="Label ids in the order of the columns.")
    facts = serializers.DictField()
    estimates = serializers.DictField()
    seconds = serializers.FloatField()
    created_at = serializers.DateTimeField()


class SnapshotPage(serializers.Serializer[Any]):
    """Snapshots, newest first."""

    count = serializers.IntegerField()
    next = serializers.CharField(allow_null=True)
    previous = serializers.CharField(allow_null=True)
    results = SnapshotOut(many=True)
