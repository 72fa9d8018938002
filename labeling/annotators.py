"""Annotators: how well each person answers, how far they agree, and with whom; read from the answers, never stored."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import UTC, datetime
from typing import Any

import numpy as np

from labeling import overview, weighing
from labeling.models import Answer, Gold, Label, Member, Origin, Project, Purpose, Skills, User
from metalearning import agreement
from metalearning.agreement import Said
from metalearning.shares import wilson

FEWEST = 10  # answers weighed against others' below which no skill is told
MOST_CONFUSED = 5  # of each person's confusions
DRAWS = 200  # of the bootstrap: quick enough for a page
WEEK = 7 * 86_400  # seconds
GOLD_LISTED = 500  # gold items shown at most, the newest


def describe(project: Project, now: datetime) -> dict[str, Any]:
    """Everything about people's answers: each person, each pair, each label, the whole, and week by week.

    `people`: as overview.people gives them, with `gold`, `consensus` (answers to items of several), `skill` (accuracy
    by Dawid-Skene), `kappa` (mean of Cohen's with the others, weighed by shared items), `confused`, `paused_at`, and
    `state`: "below" where something is wrong by more than chance, "watch" where it may be, else "".
    """
    said, ids, when = _said(project)
    pairs = agreement.pairs(said, np.random.default_rng(0), DRAWS)
    table = agreement.counts(said)
    skills = _skills(project)
    verdicts = _equal(project)
    gold = _gold(project)
    members = {member.user_id: member for member in Member.objects.filter(project=project)}
    names = {person["id"]: person["name"] for person in overview.people(project, now)}
    people = []
    for person in overview.people(project, now):
        user = person["id"]
        member = members.get(user)
        told = person | {
            "member": member.pk if member else None,
            "gold": gold.get(user),
            "consensus": verdicts.get(user),
            "skill": skills.get(user, {}).get("accuracy"),
            "confused": skills.get(user, {}).get("confused", []),
            "kappa": _mean_kappa(pairs, ids.index(user)) if user in ids else None,
            "paused_at": member.paused_at.isoformat() if member and member.paused_at else None,
        }
        people.append(told | {"state": _state(project, told)})
    return {
        "people": people,
        "model": skills.get(weighing.MODEL, {}).get("accuracy"),
        "pairs": [_pair(pair, ids, names) for pair in pairs],
        "fleiss": _rounded(agreement.fleiss_kappa(table)),
        **_agreed(table),
        "labels": _by_label(project, said),
        "weeks": _weeks(said, when),
        "threshold": project.gold_threshold,
    }


def together(project: Project) -> dict[str, Any]:
    """How far people agree over all: how many `people` answered, `items` of several, and two measures of agreement."""
    said, ids, _when = _said(project)
    return {"people": len(ids)} | _agreed(agreement.counts(said))


def gold_items(project: Project, person: int | None = None, most: int = GOLD_LISTED) -> list[dict[str, Any]]:
    """The gold items, newest first, with what people made of each: {"gold", "right", "of", "wrong"}.

    Each person's first answer counts, as for their score; `wrong` says who gave which other label: {"who", "label"}.
    `person`: only those that this user has answered, and what this user said.
    """
    listed = Gold.objects.filter(project=project).select_related("item", "label", "set_by").order_by("-pk")
    answers = Answer.objects.filter(project=project, purpose=Purpose.GOLD, author__isnull=False)
    if person is not None:
        answers = answers.filter(author=person)
        listed = listed.filter(item__in=answers.values("item"))
    golden = {gold.item_id: gold for gold in listed[:most]}
    first: dict[int, dict[int, int]] = defaultdict(dict)
    answers = answers.filter(item__in=list(golden))
    for item_id, author, label_id in answers.order_by("pk").values_list("item", "author", "label"):
        if author is not None:
            first[item_id].setdefault(author, label_id)
    names = {
        user.pk: str(user) for user in User.objects.filter(pk__in={one for said in first.values() for one in said})
    }
    told = []
    for item_id, gold in golden.items():
        said = first[item_id]
        wrong = [
            {"who": names[author], "label": label_id} for author, label_id in said.items() if label_id != gold.label_id
        ]
        told.append({"gold": gold, "right": len(said) - len(wrong), "of": len(said), "wrong": wrong})
    return told


def score(right: int, of: int) -> dict[str, Any]:
    """A share of right answers with its 95 % interval (Wilson 1927)."""
    share = wilson(right, of)
    low, high = (share.low, share.high) if share else (0.0, 1.0)
    return {"right": right, "of": of, "share": right / of if of else None, "low": round(low, 4), "high": round(high, 4)}


def _said(project: Project) -> tuple[Said, list[int], np.ndarray]:
    """The current answers as the engine takes them, the user ids of its annotators, and when each was given."""
    current = Answer.objects.filter(
        project=project, withdrawn_at=None, origin=Origin.PERSON, purpose=Purpose.LABEL
    ).order_by("pk")
    rows = list(current.values_list("item__row", "author_id", "label_id", "created_at"))
    ids = sorted({author for _row, author, _label, _at in rows})
    label_ids = list(Label.objects.filter(project=project).order_by("position").values_list("pk", flat=True))
    person, column = ({one: place for place, one in enumerate(known)} for known in (ids, label_ids))
    table = np.array([(row, person[author], column[label]) for row, author, label, _at in rows], dtype=np.intp)
    table = table.reshape(-1, 3)
    when = np.array([int(at.timestamp()) for *_rest, at in rows], dtype=np.int64)
    return Said(table[:, 0], table[:, 1], table[:, 2], len(label_ids)), ids, when


def _agreed(table: np.ndarray) -> dict[str, Any]:
    """Percent and alpha with their intervals, None where they cannot tell, over the items that several answered."""
    return {
        "items": len(table),
        "percent": _interval(agreement.with_interval(table, agreement.percent, np.random.default_rng(0), DRAWS)),
        "alpha": _interval(agreement.with_interval(table, agreement.alpha, np.random.default_rng(0), DRAWS)),
    }


def _skills(project: Project) -> dict[int, dict[str, Any]]:
    """Accuracy and commonest confusions by user id, as the newest weighing learned them."""
    kept = Skills.objects.filter(project=project).first()
    if kept is None or not kept.people:
        return {}
    skill = weighing.skill_of(kept)
    label = dict(Label.objects.filter(project=project).values_list("pk", "name"))
    told = {}
    for place, person in enumerate(kept.people):
        confused = agreement.confused(skill.confusion[place], skill.prior, MOST_CONFUSED)
        told[person] = {
            "accuracy": round(float(skill.accuracy[place]), 4),
            "confused": [
                {
                    "is": kept.labels[k],
                    "said": kept.labels[said],
                    "is_name": label.get(kept.labels[k], ""),
                    "said_name": label.get(kept.labels[said], ""),
                    "share": round(share, 4),
                }
                for k, said, share in confused
                if share >= 0.005
            ],
        }
    return told


def _equal(project: Project) -> dict[int, dict[str, Any]]:
    """By user id: how many answers, to items that others answered too or a reviewer decided, equal the item's label."""
    votes = weighing.sheet(weighing.current(project)).votes
    judged = weighing.all_verdicts(project)
    right: Counter[int] = Counter()
    of: Counter[int] = Counter()
    for item_id, some in votes.items():
        verdict = judged[item_id]
        if len(some) < 2 and verdict.method != weighing.DECIDED:
            continue
        for vote in some:
            of[vote.person] += 1
            right[vote.person] += vote.label_id == verdict.label_id
    return {person: score(right[person], of[person]) for person in of}


def _gold(project: Project) -> dict[int, dict[str, Any]]:
    answers = Answer.objects.filter(project=project, purpose=Purpose.GOLD, item__gold__isnull=False)
    first: dict[int, dict[int, bool]] = defaultdict(dict)
    columns = ("author_id", "item", "label", "item__gold__label")
    for author, item_id, label_id, right in answers.order_by("pk").values_list(*columns):
        first[author].setdefault(item_id, label_id == right)
    return {author: score(sum(told.values()), len(told)) for author, told in first.items()}


def _state(project: Project, told: dict[str, Any]) -> str:
    gold, consensus, least = told["gold"], told["consensus"], project.gold_threshold
    weighed = told["skill"] is not None and consensus is not None and consensus["of"] >= FEWEST
    if (gold and gold["high"] < least) or (weighed and told["skill"] < least and consensus["high"] < least):
        return "below"
    if (gold and gold["of"] >= FEWEST and gold["share"] < least) or (weighed and told["skill"] < least):
        return "watch"
    return ""


def _mean_kappa(pairs: list[agreement.Pair], person: int) -> float | None:
    mine = [(pair.kappa, pair.items) for pair in pairs if person in (pair.one, pair.other) and pair.kappa is not None]
    shared = sum(items for _kappa, items in mine)
    return round(sum(kappa * items for kappa, items in mine) / shared, 4) if shared else None


def _pair(pair: agreement.Pair, ids: list[int], names: dict[int, str]) -> dict[str, Any]:
    one, other = ids[pair.one], ids[pair.other]
    return {
        "one": names.get(one, ""), "other": names.get(other, ""), "one_id": one, "other_id": other,
        "items": pair.items, "equal": pair.equal, "differ": pair.items - pair.equal, "kappa": _rounded(pair.kappa),
        "low": _rounded(pair.low), "high": _rounded(pair.high),
    }  # fmt: skip


def _by_label(project: Project, said: Said) -> list[dict[str, Any]]:
    """Alpha of each label against the rest with its interval, where these can be told; least agreed first."""
    labels = list(Label.objects.filter(project=project).order_by("position"))
    intervals = agreement.label_intervals(said, np.random.default_rng(0), DRAWS)
    told = [
        {"id": labels[place].pk, "name": labels[place].name, "alpha": _rounded(alpha)} | _ends(intervals.get(place))
        for place, alpha in agreement.by_label(said).items()
    ]
    return sorted(told, key=lambda one: (one["alpha"] is None, one["alpha"]))


def _weeks(said: Said, when: np.ndarray) -> list[dict[str, Any]]:
    told = agreement.over_time(said, when // WEEK, np.random.default_rng(0), DRAWS)
    return [
        {
            "from": datetime.fromtimestamp(week * WEEK, UTC).date().isoformat(),
            "alpha": _rounded(alpha),
            "items": items,
            **_ends(interval),
        }
        for week, alpha, items, interval in told
    ]


def _interval(told: agreement.Interval | None) -> dict[str, Any] | None:
    if told is None:
        return None
    return {"value": round(told.value, 4), "low": round(told.low, 4), "high": round(told.high, 4), "items": told.items}


def _ends(told: agreement.Interval | None) -> dict[str, float | None]:
    return {"low": _rounded(told.low if told else None), "high": _rounded(told.high if told else None)}


def _rounded(figure: float | None) -> float | None:
    return None if figure is None else round(figure, 4)
