"""Consensus: the product's own EM against crowd-kit, against loops, and against a known truth."""

from __future__ import annotations

import time
from itertools import product

import numpy as np
import pandas as pd
import pytest
from crowdkit.aggregation import DawidSkene
from hypothesis import given, settings
from hypothesis import strategies as st

from metalearning import consensus
from metalearning.consensus import Votes


def voting(
    items: int, accuracies: list[float], labels: int = 4, seed: int = 0, each: int | None = None
) -> tuple[Votes, np.ndarray]:
    """Votes by people who are right so often and else say anything, and the truth. `each`: people per item."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(labels, size=items)
    rows = []
    for item, person in product(range(items), range(len(accuracies))):
        if each is None or (person - item) % len(accuracies) < each:
            right = rng.random() < accuracies[person]
            rows.append((item, person, truth[item] if right else (truth[item] + rng.integers(1, labels)) % labels))
    item, person, said = np.array(rows).T
    return Votes(item, person, said, items, len(accuracies), labels), truth


@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning", "ignore:.*:pandas.errors.Pandas4Warning")
@pytest.mark.parametrize(("seed", "labels", "each"), [(0, 2, None), (1, 4, 3), (2, 6, 4)])
def test_without_smoothing_it_is_what_crowd_kit_computes(seed: int, labels: int, each: int | None) -> None:
    votes, _truth = voting(120, [0.9, 0.8, 0.75, 0.6, 0.5], labels, seed, each)
    ours = consensus.dawid_skene(votes, smoothing=0, most_rounds=30, tolerance=0)
    frame = pd.DataFrame({"task": votes.items, "worker": votes.annotators, "label": votes.labels})
    theirs = DawidSkene(n_iter=30, tol=-1e9).fit(frame)
    told = theirs.probas_.sort_index().reindex(columns=range(labels)).to_numpy()
    assert np.abs(ours.posterior - told).max() < 1e-4
    for person in range(votes.annotator_count):
        errors = theirs.errors_.loc[person].reindex(index=range(labels), columns=range(labels)).fillna(0).to_numpy()
        assert np.abs(ours.skill.confusion[person].T - errors).max() < 1e-3


def by_loops(votes: Votes, rounds: int, smoothing: float, known: dict[int, int]) -> np.ndarray:
    """The docstring's formulas, said with loops."""
    labels, people = votes.label_count, votes.annotator_count
    weights = np.ones(len(votes.items)) if votes.weights is None else votes.weights
    given_votes = list(zip(votes.items, votes.annotators, votes.labels, weights, strict=True))
    posterior = np.zeros((votes.item_count, labels))
    for item, _person, said, weight in given_votes:
        posterior[item, said] += weight
    for item in range(votes.item_count):
        total = posterior[item].sum()
        posterior[item] = posterior[item] / total if total else 1 / labels
        if item in known:
            posterior[item] = np.eye(labels)[known[item]]
    for _ in range(rounds):
        confusion = np.zeros((people, labels, labels))
        for item, person, said, weight in given_votes:
            confusion[person, :, said] += weight * posterior[item]
        for person in range(people):
            accuracy = (np.trace(confusion[person]) + 4) / (confusion[person].sum() + 5)
            for k, said in product(range(labels), range(labels)):
                confusion[person, k, said] += smoothing * (accuracy if k == said else (1 - accuracy) / (labels - 1))
            confusion[person] /= confusion[person].sum(axis=1, keepdims=True)
        prior = (posterior.sum(axis=0) + smoothing / labels) / (votes.item_count + smoothing)
        posterior = np.tile(prior, (votes.item_count, 1))
        for item, person, said, weight in given_votes:
            posterior[item] *= confusion[person, :, said] ** weight
        posterior /= posterior.sum(axis=1, keepdims=True)
        for item, label in known.items():
            posterior[item] = np.eye(labels)[label]
    return posterior


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_with_smoothing_weights_and_known_labels_it_is_what_loops_compute(data: st.DataObject) -> None:
    items, people, labels = data.draw(st.tuples(st.integers(1, 7), st.integers(1, 4), st.integers(2, 4)))
    cells = data.draw(
        st.lists(st.tuples(st.integers(0, items - 1), st.integers(0, people - 1)), unique=True, min_size=1)
    )
    said = data.draw(st.lists(st.integers(0, labels - 1), min_size=len(cells), max_size=len(cells)))
    weights = data.draw(st.lists(st.sampled_from([0.1, 0.5, 1.0]), min_size=len(cells), max_size=len(cells)))
    known = data.draw(st.dictionaries(st.integers(0, items - 1), st.integers(0, labels - 1), max_size=2))
    item, person = np.array(cells).T
    votes = Votes(item, person, np.array(said), items, people, labels, np.array(weights))
    given_known = np.array([known.get(one, -1) for one in range(items)])
    told = consensus.dawid_skene(votes, known=given_known, smoothing=1.5, most_rounds=4, tolerance=0)
    assert np.allclose(told.posterior, by_loops(votes, 4, 1.5, known), atol=1e-9)
    assert np.allclose(told.posterior.sum(axis=1), 1)
    assert np.allclose(told.skill.confusion.sum(axis=2), 1)


def test_a_careless_annotator_is_found_and_outvoted() -> None:
    ours, plain = [], []
    for seed in range(6):
        votes, truth = voting(300, [0.85, 0.85, 0.3], labels=5, seed=seed)
        told = consensus.dawid_skene(votes)
        assert told.skill.accuracy[2] < 0.5 < 0.75 < told.skill.accuracy[:2].min()
        ours.append((told.posterior.argmax(axis=1) == truth).mean())
        plain.append((consensus.majority(votes).argmax(axis=1) == truth).mean())
    assert np.mean(ours) > np.mean(plain) + 0.01


def test_over_many_crowds_skill_with_the_model_as_a_voter_beats_the_majority() -> None:
    """Two who answer well, one who nearly always says the first label, and a model that is right four times in five."""
    ours, plain = [], []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        truth = rng.integers(3, size=40)
        said = [
            np.where(rng.random(40) < p, truth, (truth + rng.integers(1, 3, size=40)) % 3) for p in (0.85, 0.85, 0.8)
        ]
        said.insert(2, np.where(rng.random(40) < 0.9, 0, rng.integers(3, size=40)))
        people = [np.tile(np.arange(40), 3), np.repeat(np.arange(3), 40), np.concatenate(said[:3])]
        plain.append(consensus.majority(Votes(*people, 40, 3, 3)).argmax(axis=1) == truth)
        items, who = np.tile(np.arange(40), 4), np.repeat(np.arange(4), 40)
        votes = Votes(items, who, np.concatenate(said), 40, 4, 3, np.repeat([1, 1, 1, 0.7], 40))
        ours.append(consensus.dawid_skene(votes).posterior.argmax(axis=1) == truth)
    assert np.mean(ours) > np.mean(plain) + 0.03
    assert sum(mine.sum() >= others.sum() for mine, others in zip(ours, plain, strict=True)) >= 25


def test_smoothing_keeps_many_labels_and_few_answers_from_believing_in_noise() -> None:
    votes, truth = voting(150, [0.85, 0.85, 0.5, 0.85], labels=40, seed=4, each=3)
    smooth = consensus.dawid_skene(votes).posterior.argmax(axis=1)
    bare = consensus.dawid_skene(votes, smoothing=0).posterior.argmax(axis=1)
    assert (smooth == truth).mean() >= (bare == truth).mean()


def test_a_model_votes_with_its_whole_distribution() -> None:
    # Two people disagree; the model, as a third, leans to one of them.
    told = consensus.majority(
        Votes(np.zeros(4, int), np.array([0, 1, 2, 2]), np.array([0, 1, 0, 1]), 1, 3, 2, np.array([1, 1, 0.8, 0.2]))
    )
    assert told[0] == pytest.approx([0.6, 0.4])


def test_a_further_item_is_judged_by_a_skill_learned_before() -> None:
    votes, _truth = voting(200, [0.9, 0.9, 0.4], seed=5)
    told = consensus.dawid_skene(votes, tolerance=0, most_rounds=60)
    assert np.abs(consensus.judge(votes, told.skill) - told.posterior).max() < 1e-3


def test_of_unknown_people_more_who_agree_are_surer() -> None:
    skill = consensus.unknown_skill(3, 5)
    one = consensus.judge(Votes(np.array([0]), np.array([0]), np.array([2]), 1, 3, 5), skill)
    two = consensus.judge(Votes(np.array([0, 0]), np.array([0, 1]), np.array([2, 2]), 1, 3, 5), skill)
    assert one[0, 2] == pytest.approx(0.8)
    assert two[0, 2] > 0.98


def test_items_without_votes_and_single_labels_are_no_trouble() -> None:
    empty = np.array([], dtype=int)
    assert consensus.majority(Votes(empty, empty, empty, 2, 1, 4)).tolist() == [[0.25] * 4] * 2
    assert consensus.dawid_skene(Votes(empty, empty, empty, 0, 1, 4)).posterior.shape == (0, 4)
    alone = consensus.dawid_skene(Votes(np.array([0]), np.array([0]), np.array([0]), 1, 1, 1))
    assert alone.posterior.tolist() == [[1.0]]


def test_a_hundred_thousand_answers_over_77_labels_take_seconds() -> None:
    rng = np.random.default_rng(0)
    items = np.repeat(np.arange(33_000), 3)
    people = rng.integers(20, size=len(items))
    truth = rng.integers(77, size=33_000)
    said = np.where(rng.random(len(items)) < 0.8, truth[items], rng.integers(77, size=len(items)))
    began = time.process_time()
    told = consensus.dawid_skene(Votes(items, people, said, 33_000, 20, 77))
    assert time.process_time() - began < 10  # 1 s on an idle core
    assert (told.posterior.argmax(axis=1) == truth).mean() > 0.9
