"""Weighing: what an item is where several people answered it, how far each one's answers count, and who is asked next.

The votes on an item are people's current answers, and the model's: what it thought likeliest when the item was handed
out for the first time, before anybody had answered, so that it never echoes an answer; its vote weighs as much as it
was sure. How everybody answers (`Skills`) is learned from all votes at once, in the background; a single item is judged
by what was learned last, so that the same answers and the same skills always give the same label.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
from django.db.models import QuerySet
from django.utils import timezone
from jaxtyping import Float, Int

from labeling.models import Answer, Gold, Label, Origin, Project, Purpose, Skills
from metalearning import consensus
from metalearning.consensus import Skill, Votes

MODEL = 0
"""The model's number among people."""
DECIDED = "decision"
REMEMBERED = 8  # projects whose skills are kept in a process's memory


@dataclass(frozen=True)
class Vote:
    """One current answer."""

    person: int  # user id
    label_id: int
    foreseen: int | None = None  # label id
    foreseen_p: float = 0.0


@dataclass(frozen=True)
class Verdict:
    """What the answers to one item say together."""

    label_id: int
    p: float
    """How sure, in [0, 1]: the posterior, or the share of the votes where the majority decides; 1 once decided."""
    answers: int
    equal: int
    """How many of the answers gave this label."""
    enough: bool
    """Whether nobody else need be asked."""
    method: str
    """"majority", "dawid_skene" or "decision"."""


@dataclass(frozen=True)
class Sheet:
    """The current answers to some items: votes in the order they were given, and decisions; by item id."""

    votes: Mapping[int, Sequence[Vote]]
    decisions: Mapping[int, int]
    rows: Mapping[int, int]


def verdicts(project: Project, item_ids: Sequence[int]) -> dict[int, Verdict]:
    """What people's answers to these items say; items that nobody has answered are absent."""
    return _judged(project, sheet(current(project).filter(item__in=item_ids)))


def all_verdicts(project: Project) -> dict[int, Verdict]:
    """The same for every item that anybody has answered."""
    return _judged(project, sheet(current(project)))


def labels(project: Project) -> list[tuple[int, int]]:
    """(row, label id) of every item that people answered: one each, enough answers or not; oldest item first."""
    said = sheet(current(project))
    if project.overlap > 1:
        judged = _judged(project, said)
        return [(row, judged[item_id].label_id) for item_id, row in said.rows.items()]
    newest = {item_id: votes[-1].label_id for item_id, votes in said.votes.items()} | dict(said.decisions)
    return [(row, newest[item_id]) for item_id, row in said.rows.items()]


def wanted(project: Project, row: int) -> int:
    """How many people's answers the item in this row gets, at most."""
    if project.overlap_mode == Project.Overlap.SHARE and _place(project.pk, row) >= project.overlap_share:
        return 1
    return project.overlap


def weigh(project: Project) -> bool:
    """Learn anew how everybody answers; false where neither answers nor settings have changed since the last time."""
    known = _known(project)
    said = sheet(Answer.objects.filter(project=project, withdrawn_at=None, origin=Origin.PERSON))
    answers = (sum(map(len, said.votes.values())), _newest(project))
    weighed = (answers, sorted(known.items()), _labels(project), _rules(project))
    seen = blake2b(repr(weighed).encode(), digest_size=8).hexdigest()
    before = Skills.objects.filter(project=project).first()
    if before and before.seen == seen:
        return False
    if not said.votes:
        return before is not None
    items = [item_id for item_id in said.rows if item_id in said.votes]
    people = [MODEL, *sorted({vote.person for votes in said.votes.values() for vote in votes})]
    label_ids = _labels(project)
    votes = _votes([said.votes[item_id] for item_id in items], people, label_ids)
    column = {label_id: place for place, label_id in enumerate(label_ids)}
    settled = np.array([column.get(known.get(item_id, -1), -1) for item_id in items])
    learned = consensus.dawid_skene(votes, known=settled).skill
    Skills.objects.update_or_create(
        project=project,
        defaults={
            "number": before.number + 1 if before else 1,
            "people": people,
            "labels": label_ids,
            "confusion": learned.confusion.astype(np.float16).tobytes(),
            "prior": [round(float(share), 6) for share in learned.prior],
            "seen": seen,
            "made_at": timezone.now(),
        },
    )
    return True


def skill_of(kept: Skills) -> Skill:
    """The stored skills as the engine takes them: people and labels in their stored order."""
    shape = (len(kept.people), len(kept.labels), len(kept.labels))
    confusion = np.frombuffer(bytes(kept.confusion), dtype=np.float16).reshape(shape).astype(np.float64)
    return Skill(confusion, np.array(kept.prior))


def sheet(answers: QuerySet[Answer]) -> Sheet:
    """These answers by item, oldest first."""
    votes: dict[int, list[Vote]] = {}
    decisions: dict[int, int] = {}
    rows: dict[int, int] = {}
    columns = ("item_id", "item__row", "author_id", "label_id", "purpose", "foreseen_id", "foreseen_p")
    for item_id, row, person, label_id, purpose, foreseen, p in answers.order_by("pk").values_list(*columns):
        rows[item_id] = row
        if purpose == Purpose.DECISION:
            decisions[item_id] = label_id
        else:
            votes.setdefault(item_id, []).append(Vote(person, label_id, foreseen, p or 0.0))
    return Sheet(votes, decisions, rows)


def current(project: Project) -> QuerySet[Answer]:
    """What people say now that the project's items are: answers and decisions."""
    labelling = [Purpose.LABEL, Purpose.DECISION]
    return Answer.objects.filter(project=project, withdrawn_at=None, origin=Origin.PERSON, purpose__in=labelling)


def _judged(project: Project, said: Sheet) -> dict[int, Verdict]:
    voted = list(said.votes)
    posterior, label_ids = _posterior(project, [said.votes[item_id] for item_id in voted])
    told: dict[int, Verdict] = {}
    for place, item_id in enumerate(voted):
        votes = said.votes[item_id]
        best = int(np.argmax(posterior[place]))
        sure = (label_ids[best], float(posterior[place, best]))
        enough = _is_enough(project, said.rows[item_id], votes, sure[1])
        label_id, p = sure if project.consensus == Project.Consensus.SKILL else _majority(votes)
        equal = sum(vote.label_id == label_id for vote in votes)
        told[item_id] = Verdict(label_id, p, len(votes), equal, enough, project.consensus)
    for item_id, label_id in said.decisions.items():
        votes = said.votes.get(item_id, ())
        equal = sum(vote.label_id == label_id for vote in votes)
        told[item_id] = Verdict(label_id, 1.0, len(votes), equal, True, DECIDED)
    return told


def _is_enough(project: Project, row: int, votes: Sequence[Vote], sure: float) -> bool:
    if len(votes) >= wanted(project, row):
        return True
    if project.overlap_mode != Project.Overlap.ADAPTIVE:
        return False
    differs = len(votes) == 1 and votes[0].foreseen is not None and votes[0].foreseen != votes[0].label_id
    return sure >= project.sure_enough and not differs


def _majority(votes: Sequence[Vote]) -> tuple[int, float]:
    """The label most people gave; where two are level, what the model foresaw, else what was said first."""
    counts = Counter(vote.label_id for vote in votes)
    most = max(counts.values())
    level = [label_id for label_id in counts if counts[label_id] == most]  # in the order they were first said
    foreseen = next((vote.foreseen for vote in votes if vote.foreseen is not None), None)
    return (foreseen if foreseen in level else level[0]), most / len(votes)


def _posterior(
    project: Project, votes: Sequence[Sequence[Vote]]
) -> tuple[Float[np.ndarray, "items labels"], list[int]]:
    """The posterior of items with these votes, and the label ids of its columns."""
    label_ids = _labels(project)
    people = [MODEL, *sorted({vote.person for some in votes for vote in some})]
    skill = _skill(project, people, label_ids)
    return consensus.judge(_votes(votes, people, label_ids), skill), label_ids


def _skill(project: Project, people: Sequence[int], label_ids: Sequence[int]) -> Skill:
    """How these people answer: as learned last, else what is taken for granted."""
    skill = consensus.unknown_skill(len(people), len(label_ids))
    kept = _remembered(project)
    if kept is None or kept[0].labels != list(label_ids):
        return skill
    place = {person: row for row, person in enumerate(kept[0].people)}
    for row, person in enumerate(people):
        if person in place:
            skill.confusion[row] = kept[1].confusion[place[person]]
    return Skill(skill.confusion, kept[1].prior)


_skills: OrderedDict[tuple[Any, ...], tuple[Skills, Skill]] = OrderedDict()


def _remembered(project: Project) -> tuple[Skills, Skill] | None:
    """The stored skills, read from the database once for each weighing."""
    key = Skills.objects.filter(project=project).values_list("pk", "number", "made_at").first()
    if key is None:
        return None
    if key not in _skills:
        kept = Skills.objects.get(project=project)
        _skills[key] = (kept, skill_of(kept))
        while len(_skills) > REMEMBERED:
            _skills.popitem(last=False)
    return _skills[key]


def _votes(votes: Sequence[Sequence[Vote]], people: Sequence[int], label_ids: Sequence[int]) -> Votes:
    """As the engine takes them: items, people and labels by their place in these sequences."""
    person, column = ({one: place for place, one in enumerate(known)} for known in (people, label_ids))
    entries: list[tuple[int, int, int, float]] = []
    for item, some in enumerate(votes):
        entries += [(item, person[vote.person], column[vote.label_id], 1.0) for vote in some]
        if some and some[0].foreseen in column and some[0].foreseen_p > 0:
            entries.append((item, person[MODEL], column[some[0].foreseen], some[0].foreseen_p))
    table = np.array(entries, dtype=np.float64).reshape(-1, 4)
    places: Int[np.ndarray, "votes 3"] = table[:, :3].astype(np.intp)
    return Votes(places[:, 0], places[:, 1], places[:, 2], len(votes), len(people), len(label_ids), weights=table[:, 3])


def _known(project: Project) -> dict[int, int]:
    """Items whose label is settled, with it: decided by a reviewer, or gold."""
    decided = Answer.objects.filter(project=project, withdrawn_at=None, purpose=Purpose.DECISION)
    gold = Gold.objects.filter(project=project)
    return dict(gold.values_list("item", "label")) | dict(decided.values_list("item", "label"))


def _labels(project: Project) -> list[int]:
    return list(Label.objects.filter(project=project).order_by("position").values_list("pk", flat=True))


def _rules(project: Project) -> list[Any]:
    """The settings that say how answers become a label, and when there are enough."""
    return [project.overlap, project.overlap_mode, project.overlap_share, project.sure_enough, project.consensus]


def _newest(project: Project) -> int:
    return Answer.objects.filter(project=project).order_by("-pk").values_list("pk", flat=True).first() or 0


def _place(project_id: int, row: int) -> float:
    """A number in [0, 1) that is the same for this row whenever it is asked: who is in the share stays in it."""
    digest = blake2b(f"{project_id}:{row}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64
