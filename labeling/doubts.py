"""Doubts: answers that the model, when they were held back from it, found unlikely; read and never written."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from labeling import pool, suggestions
from labeling.models import Answer, Item, Mark, Project, Status
from metalearning.label_errors import LIKELY

SURE = 2  # in the arrays: 0 no doubt, 1 leans to another label, 2 does so confidently
LISTED = 500  # doubted answers shown at most: a list that nobody can finish is not begun
LABELLED = (Status.ANSWERED, Status.IMPORTED)


def held_out(project: Project) -> dict[str, np.ndarray]:
    """What the newest snapshot's held-out models said of each answer; arrays of length 0 where there are none.

    "row", "answer" and "said" (label ids), "p_answer" and "p_said" in [0, 1], "doubt" as above, "chance" in [0, 1] of
    the answer's being a mistake (NaN where an older snapshot has not said).
    """
    snapshot = suggestions.latest(project)
    arrays = pool.read_held_out(project.pk, snapshot.number) if snapshot else None
    if arrays is None:
        ids, shares = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32)
        nothing = {"row": ids, "answer": ids, "said": ids, "doubt": ids}
        return nothing | {"p_answer": shares, "p_said": shares, "chance": shares}
    return {"row": arrays["row"], "answer": arrays["answer"], "said": arrays["suggested"]} | {
        "p_answer": arrays["p_answer"],
        "p_said": arrays["p_suggested"],
        "doubt": arrays["doubt"],
        "chance": arrays["chance"] if "chance" in arrays else np.full(len(arrays["row"]), np.nan),
    }


def rows_where(project: Project, *, answer: int | None, said: int) -> list[int]:
    """Rows whose answer (this label, or any) was held back while the model said this label."""
    told = held_out(project)
    chosen = spoken(told) == said
    if answer is not None:
        chosen &= told["answer"] == answer
    return [int(row) for row in np.unique(told["row"][chosen])]


def rows_differing(project: Project) -> list[int]:
    """Rows of all answers that were held back while the model said another label."""
    told = held_out(project)
    return [int(row) for row in np.unique(told["row"][spoken(told) != told["answer"]])]


def spoken(told: dict[str, np.ndarray]) -> np.ndarray:
    """The label that was likeliest, per answer. A doubted answer may yet be likelier than what it is doubted for."""
    return np.where(told["p_said"] > told["p_answer"], told["said"], told["answer"])


def expected_mistakes(told: dict[str, np.ndarray]) -> float:
    """How many of the answers that were held back are expected to be mistakes: the sum of their chances."""
    return float(np.nansum(told["chance"], dtype=np.float64))


def open_doubts(project: Project, told: dict[str, np.ndarray] | None = None) -> list[dict[str, Any]]:
    """Doubted answers that still stand and that no reviewer has confirmed, the likeliest mistake first.

    Each is {"item": Item, "label_id", "said_id", "p_label", "p_said", "chance", "likely", "sure", "by": names}; at most
    `LISTED`. "likely": rather a mistake than not, or among the first so many as mistakes are expected; the others are
    mostly right answers to hard items. `told` is what `held_out` gives, where the caller has it.
    """
    told = held_out(project) if told is None else told
    doubted = np.flatnonzero(told["doubt"])
    ratio = told["p_said"][doubted] / np.maximum(told["p_answer"][doubted], 1e-12)
    doubted = doubted[np.lexsort((-ratio, -told["chance"][doubted]))]
    likely = set(doubted[: round(expected_mistakes(told))].tolist())
    items = _standing(project, told["row"][doubted].tolist())
    found: dict[int, dict[str, Any]] = {}
    for place in doubted:
        item = items.get(int(told["row"][place]))
        # Corrected, taken back or confirmed since; several answers to one item are one doubt.
        if item is None or item.label_id != told["answer"][place] or item.pk in found:
            continue
        found[item.pk] = {
            "item": item,
            "label_id": item.label_id,
            "said_id": int(told["said"][place]),
            "p_label": round(float(told["p_answer"][place]), 4),
            "p_said": round(float(told["p_said"][place]), 4),
            "chance": round(float(np.nan_to_num(told["chance"][place])), 4),
            "likely": bool(told["chance"][place] >= LIKELY or place in likely),
            "sure": bool(told["doubt"][place] == SURE),
        }
        if len(found) == LISTED:
            break
    authors = _authors(found)
    return [doubt | {"by": authors.get(item_id, [])} for item_id, doubt in found.items()]


def _standing(project: Project, rows: list[int]) -> dict[int, Item]:
    """The items of these rows that have an answer which no reviewer has confirmed, by row."""
    kept = set(
        Mark.objects.filter(project=project, code=Mark.Code.KEEP).values_list("item_id", "label_id")
    )  # a confirmation is of one label: another answer may be doubted again
    items: dict[int, Item] = {}
    for start in range(0, len(rows), 5000):
        found = Item.objects.filter(project=project, row__in=rows[start : start + 5000], status__in=LABELLED)
        items |= {item.row: item for item in found if (item.pk, item.label_id) not in kept}
    return items


def _authors(item_ids: Iterable[int]) -> dict[int, list[str]]:
    """Who gave the current answers, by item; imported ones have no author."""
    authors: dict[int, list[str]] = {}
    answers = Answer.objects.filter(item__in=list(item_ids), withdrawn_at=None, author__isnull=False)
    for answer in answers.select_related("author").order_by("pk"):
        authors.setdefault(answer.item_id, []).append(str(answer.author))
    return authors
