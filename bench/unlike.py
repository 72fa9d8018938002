"""Unlike: tasks whose labels are no topics, so that names and neighbours mislead. Nothing learns from them."""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np

from bench.recipe import DATA

# fmt: off
KINDS = (
    "how", "why", "when", "how_much", "how_long", "affirm", "deny", "thank", "greet", "what", "where", "which", "not",
)
# fmt: on
FEWEST = 40
"""Texts of a label, without which it is left out."""
Pairs = list[tuple[str, str]]
"""Texts, each with its label."""


def utterances() -> Pairs:
    """What people say to a bank and to a hotel (NLU++), by its form: questions of each kind, assent, thanks."""
    said = [
        (row["text"], kinds[0])
        for file in ("nlupp_banking", "nlupp_hotels")
        for row in records(f"multilabel/{file}")
        if len(kinds := [label for label in row["labels"] if label in KINDS]) == 1
    ]
    labels = [label for _, label in said]
    return [one for one in said if labels.count(one[1]) >= FEWEST]


def out_of_scope(rng: np.random.Generator) -> Pairs:
    """Whether an assistant is meant to answer (clinc150); of what it is asked 30 % is out of its scope."""
    outside = [(row["text"], "out of scope") for row in records("text/clinc150_oos.test")]
    inside = [(row["text"], "in scope") for row in records("text/clinc150.test")]
    return some(outside, 450, rng) + some(inside, 1050, rng)


def naming_tweets() -> Pairs:
    """Whether a tweet names somebody or something (WNUT-17)."""
    return [(row["text"], "a name" if row["spans"] else "nothing") for row in records("ner/wnut17.train")]


def some(pairs: Pairs, count: int, rng: np.random.Generator) -> Pairs:
    """So many of them at random, in the order in which they are drawn."""
    return [pairs[place] for place in rng.permutation(len(pairs))[:count]]


def records(file: str) -> list[dict[str, Any]]:
    """The rows of one of the development data's files, such as "text/snips.train"; ends the run where it is absent."""
    source = DATA.parent / f"{file}.jsonl"
    if not source.exists():
        sys.exit(f"{source} is absent; set ANNOTATOR_DEV_DATA to the folder that holds {file}.jsonl.")
    return [json.loads(line) for line in source.read_text(encoding="utf-8").splitlines()]
