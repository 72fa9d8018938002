"""Rule: something known beforehand, written down as a pattern that speaks for a label."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from labeling import matching


class Rule(models.Model):
    """A pattern and the label it speaks for. Its votes are arrays (labeling/votes.py): evidence, not answers.

    Nothing is changed of what it voted on by switching it off, or by deleting it until it is gone for good:
    `deleted_at` only hides it, so that deleting can be undone.
    """

    class Kind(models.TextChoices):
        """What it looks at; labeling/matching.py does the looking."""

        KEYWORD = matching.KEYWORD, _("Keywords")
        PHRASE = matching.PHRASE, _("Phrase")
        REGEX = matching.REGEX, _("Regular expression")
        COLUMN = matching.COLUMN, _("Column")
        SIMILAR = matching.SIMILAR, _("Like an item")

    class Comparison(models.TextChoices):
        """How a column's value is compared with the text."""

        EQUALS = matching.EQUALS, pgettext_lazy("comparison", "is")
        CONTAINS = matching.CONTAINS, pgettext_lazy("comparison", "contains")
        MATCHES = matching.MATCHES, pgettext_lazy("comparison", "matches the expression")
        LESS = "lt", pgettext_lazy("comparison", "is less than")
        AT_MOST = "le", pgettext_lazy("comparison", "is at most")
        AT_LEAST = "ge", pgettext_lazy("comparison", "is at least")
        MORE = "gt", pgettext_lazy("comparison", "is more than")

    project = models.ForeignKey("Project", models.CASCADE, related_name="rules")
    label = models.ForeignKey("Label", models.PROTECT, related_name="rules")
    kind = models.CharField(max_length=8, choices=Kind.choices)
    text = models.CharField(max_length=matching.LONGEST_PATTERN, blank=True)
    column = models.CharField(max_length=255, blank=True)  # of the items' metadata
    comparison = models.CharField(max_length=8, choices=Comparison.choices, blank=True)
    item = models.ForeignKey("Item", models.CASCADE, null=True, related_name="+")  # that others are like
    threshold = models.FloatField(default=0.0)  # lowest cosine to it, in (0, 1]
    off_at = models.DateTimeField(null=True)  # switched off since
    deleted_at = models.DateTimeField(null=True)
    created_by = models.ForeignKey("User", models.PROTECT, related_name="+")
    created_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["project", "deleted_at"], name="rules_of_project")]

    @property
    def pattern(self) -> matching.Pattern:
        """What it looks for."""
        return matching.Pattern(self.kind, self.text, self.column, self.comparison, self.threshold)

    @property
    def active(self) -> bool:
        """Whether it votes."""
        return self.off_at is None and self.deleted_at is None
