"""API of rules: make, try, change, switch off and delete them, what they do, and what the answers propose."""

from __future__ import annotations

from typing import Any

from django.urls import re_path
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from labeling import access, kinds, ruled
from labeling.api.outlines import ShortItem, SpokenRule
from labeling.api.schema import LARGEST_ID, Choice, LabelField, valid
from labeling.flow import ruling
from labeling.matching import LONGEST_PATTERN
from labeling.models import Item, Project, Role, Rule
from labeling.ruled import Which


class RuleIn(serializers.Serializer[Any]):
    """A rule to make."""

    label = LabelField(help_text="The label that it speaks for: its id or its name.")  # type: ignore[assignment]
    kind = Choice(choices=Rule.Kind.choices)
    text = serializers.CharField(
        required=False,
        allow_blank=True,
        max_length=LONGEST_PATTERN,
        help_text="Keywords with commas between them, a phrase, an expression as RE2 reads it, or what a column is "
        "compared with.",
    )
    column = serializers.CharField(required=False, allow_blank=True, max_length=255)
    comparison = Choice(choices=Rule.Comparison.choices, required=False, allow_blank=True)
    item = serializers.IntegerField(
        required=False, allow_null=True, min_value=1, max_value=LARGEST_ID, help_text="The item that others are like."
    )
    row = serializers.IntegerField(
        required=False, allow_null=True, min_value=0, max_value=LARGEST_ID, help_text="The same by its row, 0 first."
    )
    threshold = serializers.FloatField(
        required=False, min_value=0, max_value=1, help_text="Lowest cosine to that item, above 0."
    )


class RuleChange(RuleIn):
    """What can be changed of a rule."""

    active = serializers.BooleanField(required=False, help_text="Whether it votes.")


class Trial(RuleIn):
    """A rule to try."""

    rule = serializers.IntegerField(
        required=False, allow_null=True, min_value=1, max_value=LARGEST_ID, help_text="The saved rule it would replace."
    )
    which = Choice(choices=Which.choices, required=False, default=Which.ALL, help_text="Which items to show.")
    limit = serializers.IntegerField(required=False, min_value=0, max_value=100, default=12)


class BehindQuery(serializers.Serializer[Any]):
    """Which of a rule's items, a page at a time."""

    which = Choice(choices=Which.choices, required=False, default=Which.ALL)
    cursor = serializers.IntegerField(
        required=False, min_value=-1, max_value=LARGEST_ID, default=-1, help_text="`next` of the page before."
    )
    limit = serializers.IntegerField(required=False, min_value=1, max_value=100, default=30)


class RuleFacts(serializers.Serializer[Any]):
    """A rule as it is."""

    id = serializers.IntegerField()
    label = serializers.IntegerField()  # type: ignore[assignment]
    kind = serializers.ChoiceField(choices=Rule.Kind.choices)
    text = serializers.CharField()
    column = serializers.CharField()
    comparison = serializers.CharField()
    item = serializers.IntegerField(allow_null=True)
    row = serializers.IntegerField(allow_null=True)
    threshold = serializers.FloatField()
    active = serializers.BooleanField()
    says = serializers.CharField(help_text="The rule in words.")
    by = serializers.CharField()
    created_at = serializers.DateTimeField()


class Interval(serializers.Serializer[Any]):
    """A share with its 95 % interval."""

    estimate = serializers.FloatField()
    low = serializers.FloatField()
    high = serializers.FloatField()


class Other(SpokenRule):
    """A rule that speaks of some of the same items."""

    count = serializers.IntegerField(help_text="Items that both speak of.")


class Figures(serializers.Serializer[Any]):
    """What a rule does."""

    looked = serializers.IntegerField(help_text="Items that the figures are of.")
    counts = serializers.DictField(child=serializers.IntegerField(), help_text=", ".join(Which.values))
    precision = Interval(allow_null=True, help_text="On answers; null where it speaks of none.")
    others = Other(many=True)


class Learned(serializers.Serializer[Any]):
    """What the newest snapshot believes of a rule."""

    precision = serializers.FloatField()
    own = serializers.FloatField(help_text="How much of its word no other rule says, in (0, 1].")


class RuleWithFigures(RuleFacts, Figures):
    """A rule and what it does."""

    voted = serializers.IntegerField(help_text="Items that it has voted on so far.")
    learned = Learned(allow_null=True)


class RuleList(serializers.Serializer[Any]):
    """All rules."""

    items = serializers.IntegerField()
    snapshot = serializers.IntegerField(allow_null=True)
    weight = serializers.FloatField(allow_null=True, help_text="How loud the rules are beside the model.")
    rules = RuleWithFigures(many=True)


class FoundItem(ShortItem):
    """An item's text around what was found in it."""

    begins = serializers.IntegerField(help_text="The character of the whole text at which this part begins.")
    spans = serializers.ListField(child=serializers.ListField(child=serializers.IntegerField()))


class Found(serializers.Serializer[Any]):
    """An item that a rule speaks of."""

    item = FoundItem()
    value = serializers.JSONField(allow_null=True, help_text="Of the column that the rule looks at.")
    answer = serializers.IntegerField(allow_null=True)
    suggested = serializers.IntegerField(allow_null=True)
    others = SpokenRule(many=True)


class Tried(Figures):
    """What a rule would do."""

    items = serializers.IntegerField(help_text="Of the project; more than `looked` where that is a sample.")
    examples = Found(many=True)


class FoundPage(serializers.Serializer[Any]):
    """The items behind a figure."""

    count = serializers.IntegerField()
    results = Found(many=True)
    next = serializers.IntegerField(allow_null=True)


class Proposal(serializers.Serializer[Any]):
    """A rule that the answers propose."""

    label = serializers.IntegerField()  # type: ignore[assignment]
    kind = serializers.ChoiceField(choices=Rule.Kind.choices)
    text = serializers.CharField()
    right = serializers.IntegerField()
    answered = serializers.IntegerField()
    low = serializers.FloatField(help_text="Lower bound of its precision.")
    items = serializers.IntegerField(help_text="Items that have it, about.")


class ProposalList(serializers.Serializer[Any]):
    """What the answers propose, the most useful first."""

    results = Proposal(many=True)


class RuleFile(serializers.Serializer[Any]):
    """Rules as another project can take them."""

    format = serializers.CharField(required=False)
    rules = serializers.ListField(child=serializers.DictField(), max_length=ruling.MOST_RULES)


class TakenOut(serializers.Serializer[Any]):
    """What came of a file."""

    made = RuleFacts(many=True)
    known = serializers.IntegerField(help_text="Rules that were there already.")
    left = serializers.ListField(child=serializers.CharField(), help_text="Why each of the others was left out.")


class Rules(APIView):
    """A project's rules."""

    @extend_schema(operation_id="rules_list", responses=RuleList)
    def get(self, request: Request, project_id: int) -> Response:
        """All rules with their coverage, precision on answers, overlaps and conflicts."""
        return Response(ruled.listed(_project(request, project_id)))

    @extend_schema(operation_id="rules_create", request=RuleIn, responses={201: RuleFacts})
    def post(self, request: Request, project_id: int) -> Response:
        """Make a rule; it votes on every item in a job, and the model hears it after that."""
        project = _project(request, project_id)
        values = _values(project, valid(RuleIn, request.data))
        rule = ruling.make(project=project, by=access.person(request), values=values, now=timezone.now())
        return Response(ruled.described(rule), status=201)


class OneRule(APIView):
    """One rule."""

    @extend_schema(operation_id="rules_change", request=RuleChange(partial=True), responses=RuleFacts)
    def patch(self, request: Request, project_id: int, rule_id: str) -> Response:
        """Change what it looks for or speaks for; switch it off and on by `active`."""
        project = _project(request, project_id)
        values = _values(project, valid(RuleChange, request.data, partial=True))
        return Response(ruled.described(ruling.change(rule=_rule(project, rule_id), values=values, now=timezone.now())))

    @extend_schema(operation_id="rules_delete", responses={204: None})
    def delete(self, request: Request, project_id: int, rule_id: str) -> Response:
        """Delete the rule; it can be restored."""
        ruling.delete(rule=_rule(_project(request, project_id), rule_id), now=timezone.now())
        return Response(status=204)


class Restore(APIView):
    """A deleted rule."""

    @extend_schema(operation_id="rules_restore", request=None, responses=RuleFacts)
    def post(self, request: Request, project_id: int, rule_id: str) -> Response:
        """Take its deletion back."""
        rule = access.row_of(_project(request, project_id), Rule, pk=rule_id)
        return Response(ruled.described(ruling.restore(rule=rule)))


class Behind(APIView):
    """The items behind a rule's figures."""

    @extend_schema(operation_id="rules_items", parameters=[BehindQuery], responses=FoundPage)
    def get(self, request: Request, project_id: int, rule_id: str) -> Response:
        """A page of them by row, with what was found in each."""
        project = _project(request, project_id)
        asked = valid(BehindQuery, request.query_params)
        rule = _rule(project, rule_id)
        return Response(ruled.behind(project, rule, asked["which"], asked["cursor"], asked["limit"]))


class Preview(APIView):
    """A rule before it is saved."""

    @extend_schema(operation_id="rules_preview", request=Trial, responses=Tried)
    def post(self, request: Request, project_id: int) -> Response:
        """What it would do: on all items, or on an even sample of more than 20,000."""
        project = _project(request, project_id)
        asked = valid(Trial, request.data)
        replaced, which, limit = asked.pop("rule", None), asked.pop("which"), asked.pop("limit")
        rule = Rule(pk=replaced, project=project)
        ruling.fill(rule, _values(project, asked))
        return Response(ruled.tried(project, rule, which, limit))


class Proposals(APIView):
    """Rules that the answers propose."""

    @extend_schema(operation_id="rules_proposals", responses=ProposalList)
    def get(self, request: Request, project_id: int) -> Response:
        """Words and phrases that were right of nearly every answered text that has them."""
        return Response({"results": ruled.proposals(_project(request, project_id))})


class File(APIView):
    """All rules as a file."""

    @extend_schema(operation_id="rules_export", responses=RuleFile)
    def get(self, request: Request, project_id: int) -> Response:
        """The rules as another project can take them: labels by name."""
        project = _project(request, project_id)
        answer = Response(ruling.carried(project))
        answer["Content-Disposition"] = f'attachment; filename="rules-{project.pk}.json"'
        return answer

    @extend_schema(operation_id="rules_import", request=RuleFile, responses=TakenOut)
    def post(self, request: Request, project_id: int) -> Response:
        """Make the rules of such a file. Those that do not fit this project are left out, each with why."""
        project = _project(request, project_id)
        taken = ruling.take(
            project=project, by=access.person(request), file=valid(RuleFile, request.data), now=timezone.now()
        )
        made = [ruled.described(rule) for rule in taken.made]
        return Response({"made": made, "known": taken.known, "left": taken.left})


def _project(request: Request, project_id: int) -> Project:
    return access.project(access.person(request), project_id, Role.REVIEWER)


def _rule(project: Project, rule_id: str) -> Rule:
    kept = Rule.objects.filter(deleted_at=None).select_related("item", "label", "created_by")
    return access.row_of(project, kept, pk=rule_id)


def _values(project: Project, given: dict[str, Any]) -> dict[str, Any]:
    """What was sent, with the label and the item as rows."""
    if "label" in given:
        given["label"], _value = kinds.of(project).read(project, given["label"])
    row, item = given.pop("row", None), given.get("item")
    if item is not None:
        given["item"] = access.row_of(project, Item, pk=item)
    elif row is not None:
        given["item"] = Item.objects.filter(project=project, row=row).first()
    return given


ALL = r"^projects/(?P<project_id>\d{1,18})/rules"
ONE = ALL + r"/(?P<rule_id>\d{1,18})"
urlpatterns = [
    re_path(ALL + r"/?$", Rules.as_view(), name="api_rules"),
    re_path(ALL + r"/preview/?$", Preview.as_view(), name="api_rule_preview"),
    re_path(ALL + r"/proposals/?$", Proposals.as_view(), name="api_rule_proposals"),
    re_path(ALL + r"/file/?$", File.as_view(), name="api_rule_file"),
    re_path(ONE + r"/?$", OneRule.as_view(), name="api_rule"),
    re_path(ONE + r"/restore/?$", Restore.as_view(), name="api_rule_restore"),
    re_path(ONE + r"/items/?$", Behind.as_view(), name="api_rule_items"),
]
