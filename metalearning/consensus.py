"""Consensus: what an item most likely is when several people, or people and a model, have said what it is.

Votes are (item, annotator, label), all dense numbers from 0; a vote may weigh less than 1, so that a model's whole
distribution over the labels is as many light votes. Two ways to a posterior P(label | item):

    majority      each vote counts the same; the posterior is the share of the votes
    dawid_skene   each annotator j has a confusion matrix, pi_j[k, l] = P(says l | it is k), learned together with the
                  labels by expectation-maximisation (Dawid & Skene 1979, eq. 2.3 to 2.5):

                      T[i, k]    ~  p[k] prod_j prod_l pi_j[k, l] ^ n_ij[l]           what the items are
                      pi_j[k, l] ~  sum_i T[i, k] n_ij[l],  p[k] ~ sum_i T[i, k]      how people answer

With many labels and few answers a bare confusion matrix is mostly noise, and the noise believes in itself. So each row
of pi_j is drawn towards that annotator's own accuracy a_j, as `smoothing` further answers would: a_j where right, what
is left spread evenly (the "one-coin" model; a Dirichlet prior on each row), and a_j itself begins at `RIGHT` of
`RIGHT + WRONG` imagined answers. `smoothing = 0` is Dawid and Skene's own estimate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_matrix

RIGHT, WRONG = 4.0, 1.0
"""Imagined answers from which each annotator's accuracy starts: four of five right."""
SMOOTHING = 2.0
"""Imagined answers in each row of a confusion matrix."""
LEAST = 1e-10
"""No probability is taken for less: one surprising answer must not rule out a label for good."""


@dataclass(frozen=True, eq=False)
class Votes:
    """Who said what: one entry per vote. `weights` in (0, 1], all 1 where None."""

    items: Int[np.ndarray, " votes"]
    annotators: Int[np.ndarray, " votes"]
    labels: Int[np.ndarray, " votes"]
    item_count: int
    annotator_count: int
    label_count: int
    weights: Float[np.ndarray, " votes"] | None = None

    def matrix(self) -> csr_matrix:
        """n_ij[l]: one row per item, one column per annotator and label (annotator * labels + label)."""
        weights = np.ones(len(self.items)) if self.weights is None else self.weights
        columns = self.annotators * self.label_count + self.labels
        return csr_matrix(
            (weights, (self.items, columns)), shape=(self.item_count, self.annotator_count * self.label_count)
        )


@dataclass(frozen=True, eq=False)
class Skill:
    """How people answer: what `dawid_skene` learns of them, enough to judge a further item."""

    confusion: Float[np.ndarray, "annotators labels labels"]
    """[annotator, what it is, what is said]; each row sums to 1."""
    prior: Float[np.ndarray, " labels"]
    """How often each label is right, before anybody has spoken; sums to 1."""

    @property
    def accuracy(self) -> Float[np.ndarray, " annotators"]:
        """How often each annotator is right, over labels as frequent as they are."""
        return np.einsum("k,jkk->j", self.prior, self.confusion)


@dataclass(frozen=True, eq=False)
class Consensus:
    """The posterior, and what it rests on. Items without a vote have the prior."""

    posterior: Float[np.ndarray, "items labels"]
    skill: Skill
    rounds: int


def majority(votes: Votes) -> Float[np.ndarray, "items labels"]:
    """The share of the votes that each label has; an item without votes has equal shares."""
    shares = _tally(votes)
    total = shares.sum(axis=1, keepdims=True)
    return np.where(total > 0, shares / np.where(total > 0, total, 1), 1 / votes.label_count)


def dawid_skene(
    votes: Votes,
    *,
    known: Int[np.ndarray, " items"] | None = None,
    smoothing: float = SMOOTHING,
    most_rounds: int = 100,
    tolerance: float = 1e-4,
) -> Consensus:
    """The posterior of each item and the skill of each annotator, learned together.

    `known`: the label of items that are settled (adjudicated, gold), -1 for the others; these count as certain.
    Begins at the majority's shares; ends when the posteriors move by less than `tolerance` in the mean over items
    (the sum over labels of each), or after `most_rounds`.
    """
    matrix = votes.matrix()
    across = matrix.T.tocsr()
    posterior = _settled(majority(votes), known)
    spent = 0
    while spent < most_rounds:
        spent += 1
        skill = _skill(across, posterior, votes.annotator_count, smoothing)
        before, posterior = posterior, _settled(_judged(matrix, skill), known)
        if np.abs(posterior - before).sum() <= tolerance * len(posterior):
            break
    return Consensus(posterior, _skill(across, posterior, votes.annotator_count, smoothing), spent)


def judge(votes: Votes, skill: Skill) -> Float[np.ndarray, "items labels"]:
    """The posterior of items by a skill that was learned before; nothing is learned."""
    return _judged(votes.matrix(), skill)


def unknown_skill(annotator_count: int, label_count: int) -> Skill:
    """What is taken for granted of people of whom nothing is known: `RIGHT` of `RIGHT + WRONG`, all labels alike."""
    accuracy = np.full(annotator_count, RIGHT / (RIGHT + WRONG))
    return Skill(_one_coin(accuracy, label_count), np.full(label_count, 1 / label_count))


def _tally(votes: Votes) -> Float[np.ndarray, "items labels"]:
    weights = np.ones(len(votes.items)) if votes.weights is None else votes.weights
    cells = votes.items * votes.label_count + votes.labels
    flat = np.bincount(cells, weights=weights, minlength=votes.item_count * votes.label_count)
    return flat.reshape(votes.item_count, votes.label_count)


def _skill(
    across: csr_matrix, posterior: Float[np.ndarray, "items labels"], annotator_count: int, smoothing: float
) -> Skill:
    """The M-step. `across` is the votes' matrix transposed: one row per annotator and said label."""
    label_count = posterior.shape[1]
    # [annotator, said, is] -> [annotator, is, said]
    counts = (across @ posterior).reshape(annotator_count, label_count, label_count).transpose(0, 2, 1)
    if smoothing:
        right = np.einsum("jkk->j", counts)
        accuracy = (right + RIGHT) / (counts.sum(axis=(1, 2)) + RIGHT + WRONG)
        counts = counts + smoothing * _one_coin(accuracy, label_count)
    counts = np.maximum(counts, LEAST)
    prior = posterior.sum(axis=0) + smoothing / label_count
    return Skill(counts / counts.sum(axis=2, keepdims=True), prior / max(prior.sum(), LEAST))


def _one_coin(accuracy: Float[np.ndarray, " annotators"], label_count: int) -> Float[np.ndarray, "annotators k k"]:
    if label_count == 1:
        return np.ones((len(accuracy), 1, 1))
    off = (1 - accuracy)[:, None, None] / (label_count - 1)
    return np.where(np.eye(label_count, dtype=bool), accuracy[:, None, None], off)


def _judged(matrix: csr_matrix, skill: Skill) -> Float[np.ndarray, "items labels"]:
    """The E-step, in logarithms."""
    label_count = len(skill.prior)
    by_said = np.log(np.maximum(skill.confusion, LEAST)).transpose(0, 2, 1).reshape(-1, label_count)
    logits = matrix @ by_said + np.log(np.maximum(skill.prior, LEAST))
    likelihood = np.exp(logits - logits.max(axis=1, keepdims=True, initial=-np.inf))
    return likelihood / likelihood.sum(axis=1, keepdims=True)


def _settled(
    posterior: Float[np.ndarray, "items labels"], known: Int[np.ndarray, " items"] | None
) -> Float[np.ndarray, "items labels"]:
    if known is None:
        return posterior
    sure = np.flatnonzero(known >= 0)
    posterior[sure] = 0
    posterior[sure, known[sure]] = 1
    return posterior
