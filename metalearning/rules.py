"""Rules: what votes by hand-written rules say of items, learned from answers and from how the rules agree.

A rule speaks for one label or keeps silent. Of the items it speaks of, q_j(y) is the share that have label y: a
Dirichlet prior that leans to the rule's own label, with the answers counted in (Dawid and Skene 1979, with one reported
value and abstentions; Ratner et al. 2020 for the use). Items without an answer teach too, where several rules, or a
rule and the names, speak of the same one: EM with a small weight for each of them (Nigam et al. 2000, sec. 5.3.1).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_matrix

from metalearning.heads import centred, name_vectors
from metalearning.pool import Pool
from metalearning.vectors import Rows, softmax
from metalearning.voices import Voice

NAME = "rules"
CHOICES = ((0.0, -2.0), (0.25, -0.5), (0.5, 0.0), (1.0, 0.0))
"""How loud the rules may be, with log-priors. They look at the words that the model looks at too, so never louder."""
WEIGHT = 0.5
"""How loud they are while there are too few answers to choose."""
SHARPNESS = 30.0
"""Logits per unit of cosine to a name."""


@dataclass(frozen=True)
class Config:
    """What is believed of rules before anything is known. Found on development data."""

    precision: float = 0.75
    """Of a new rule, in (0, 1)."""
    strength: float = 3.0
    """How many answers that belief is worth."""
    agreement: float = 40.0
    """How many answers all items without one may be worth to a rule, at most; less the more answers it has."""
    fading: float = 4.0
    """Answers to items of the rule after which they are worth half of that."""
    sample: int = 400
    """Items without an answer that are looked at for each rule."""
    rounds: int = 30
    folds: int = 4


@dataclass(frozen=True, eq=False)
class Votes:
    """Who speaks of what: `fired` has a 1 where a rule (column) speaks of an item (row), `label_ids` a label each."""

    fired: csr_matrix
    label_ids: Int[np.ndarray, " rules"]

    def __post_init__(self) -> None:
        if self.fired.shape[1] != len(self.label_ids):
            raise ValueError(f"There are {self.fired.shape[1]} rules but {len(self.label_ids)} labels for them.")


@dataclass(frozen=True, eq=False)
class RuleModel:
    """What the rules are worth, and what they say of every item."""

    votes: Votes
    said: Float[np.ndarray, "rules labels"]
    """What a rule's word adds to the logits of an item: log(q / uniform), times how much of it no other rule says."""
    q: Float[np.ndarray, "rules labels"]
    """Of the items that the rule speaks of, the share that have each label."""
    unseen: Float[np.ndarray, "answers labels"]
    """The logits of each answered item by rules that have not learned from any answer to it."""

    @property
    def precision(self) -> Float[np.ndarray, " rules"]:
        """Of the items that the rule speaks of, the share that have its label."""
        return self.q[np.arange(len(self.q)), self.votes.label_ids]

    def logits(self, rows: slice | Rows) -> Float[np.ndarray, "rows labels"]:
        """What the rules say of some rows; zeros where all are silent."""
        return np.asarray(self.votes.fired[rows] @ self.said, dtype=np.float32)

    def voice(self, weight: float = WEIGHT) -> Voice:
        """The rules as one voice beside the experts; `weight` is where there are too few answers to choose it."""
        return Voice(NAME, self.logits, self.unseen, weight, CHOICES)


def learn(
    votes: Votes,
    label_count: int,
    rows: Rows,
    label_ids: Rows,
    *,
    guess: Float[np.ndarray, "items labels"] | None = None,
    guessed: Rows | None = None,
    config: Config | None = None,
) -> RuleModel:
    """What the rules are worth after these answers.

    `guess` is what something that knows neither rules nor answers (the labels' names) says of the rows `guessed`, which
    should come from `sample`: it is one more voice in the agreement.
    """
    config = config or Config()
    answers = _Answers.of(rows, label_ids, label_count)
    evidence = _evidence(votes, answers, guess, guessed, config)
    prior = _prior(votes.label_ids, label_count, config)
    share = novelty(votes)
    counts = _counts(votes, answers, np.arange(len(answers.rows)))
    agreed = _agreement(prior, counts, evidence, share, config)
    q = _normalised(prior + counts + agreed)
    unseen = _unseen(votes, answers, prior, counts, evidence, share, config)
    return RuleModel(votes, _said(q, share), q, unseen[answers.item].astype(np.float32))


def sample(votes: Votes, answered: Rows, config: Config | None = None) -> Rows:
    """Rows that rules speak of and nobody has answered: up to `config.sample` of each rule, evenly over the pool."""
    config = config or Config()
    by_rule = votes.fired.tocsc()
    chosen = [np.zeros(0, dtype=np.intp)]
    for rule in range(by_rule.shape[1]):
        spoken = by_rule.indices[by_rule.indptr[rule] : by_rule.indptr[rule + 1]]
        spoken = np.setdiff1d(spoken, answered)
        places = np.linspace(0, max(len(spoken) - 1, 0), min(len(spoken), config.sample)).astype(np.intp)
        chosen.append(spoken[np.unique(places)].astype(np.intp))
    return np.unique(np.concatenate(chosen))


def novelty(votes: Votes) -> Float[np.ndarray, " rules"]:
    """How much of each rule's word is its own, in (0, 1].

    One over the number of rules for the same label, each counted by how far it speaks of the same items (Jaccard):
    a copy of a rule adds nothing, for each of the two then counts half.
    """
    together = (votes.fired.T @ votes.fired).toarray()
    alone = together.diagonal()
    union = alone[:, None] + alone[None, :] - together
    jaccard = np.divide(together, union, out=np.zeros_like(together, dtype=np.float64), where=union > 0)
    same = votes.label_ids[:, None] == votes.label_ids[None, :]
    np.fill_diagonal(jaccard, 1.0)
    return 1.0 / (jaccard * same).sum(axis=1)


@dataclass(frozen=True, eq=False)
class _Answers:
    """Answered items, each once: rows, and what share of its answers each label got."""

    rows: Rows
    shares: Float[np.ndarray, "items labels"]
    item: Rows
    """Which of them each answer belongs to."""

    @staticmethod
    def of(rows: Rows, label_ids: Rows, label_count: int) -> _Answers:
        distinct, item = np.unique(rows, return_inverse=True)
        shares = np.zeros((len(distinct), label_count))
        np.add.at(shares, (item, label_ids), 1.0)
        return _Answers(distinct.astype(np.intp), shares / np.maximum(shares.sum(axis=1, keepdims=True), 1), item)


@dataclass(frozen=True, eq=False)
class _Evidence:
    """Items without an answer: who speaks of them, what the names say (as logits), and what each is worth."""

    fired: csr_matrix
    guess: Float[np.ndarray, "items labels"]
    weight: Float[np.ndarray, " items"]


def _evidence(
    votes: Votes, answers: _Answers, guess: np.ndarray | None, guessed: Rows | None, config: Config
) -> _Evidence:
    rows = sample(votes, answers.rows, config) if guessed is None else guessed
    known = np.zeros((len(rows), answers.shares.shape[1])) if guess is None else np.log(np.asarray(guess) + 1e-9)
    fired = votes.fired[rows]
    if guess is None:  # an item of which one rule alone speaks says nothing of that rule
        several = np.flatnonzero(np.diff(fired.indptr) > 1)
        fired, known = fired[several], known[several]
    spoken = np.asarray(fired.sum(axis=0)).ravel()
    answered = np.asarray(votes.fired[answers.rows].sum(axis=0)).ravel()
    most = config.agreement / (1 + answered / config.fading)
    worth = np.minimum(1.0, most / np.maximum(spoken, 1))
    least = np.ones(fired.shape[0])
    np.minimum.at(least, np.repeat(np.arange(fired.shape[0]), np.diff(fired.indptr)), worth[fired.indices])
    return _Evidence(fired, known, least)


def _prior(rule_labels: np.ndarray, label_count: int, config: Config) -> Float[np.ndarray, "rules labels"]:
    others = (1 - config.precision) / max(label_count - 1, 1)
    prior = np.full((len(rule_labels), label_count), config.strength * others)
    prior[np.arange(len(rule_labels)), rule_labels] = config.strength * config.precision
    return prior


def _counts(votes: Votes, answers: _Answers, which: Rows) -> Float[np.ndarray, "rules labels"]:
    return np.asarray(votes.fired[answers.rows[which]].T @ answers.shares[which])


def _agreement(
    prior: np.ndarray, counts: np.ndarray, evidence: _Evidence, share: np.ndarray, config: Config
) -> Float[np.ndarray, "rules labels"]:
    """Expected counts from the items without an answer, where EM comes to rest."""
    agreed = np.zeros_like(prior)
    if not evidence.fired.shape[0]:
        return agreed
    for _round in range(config.rounds):
        before = agreed
        posterior = softmax(evidence.fired @ _said(_normalised(prior + counts + agreed), share) + evidence.guess)
        agreed = np.asarray(evidence.fired.T @ (posterior * evidence.weight[:, None]))
        if np.abs(agreed - before).max() < 1e-3:
            break
    return agreed


def _unseen(
    votes: Votes,
    answers: _Answers,
    prior: np.ndarray,
    counts: np.ndarray,
    evidence: _Evidence,
    share: np.ndarray,
    config: Config,
) -> Float[np.ndarray, "items labels"]:
    """Each answered item's logits without it: its own count is taken off, and EM has not seen its fold."""
    told = np.zeros_like(answers.shares)
    fired = votes.fired[answers.rows]
    for fold in range(config.folds):
        inside = np.arange(fold, len(answers.rows), config.folds)
        inside = inside[np.diff(fired.indptr)[inside] > 0]
        if not len(inside):
            continue
        apart = _agreement(prior, counts - _counts(votes, answers, inside), evidence, share, config)
        for place in inside:
            rules = fired.indices[fired.indptr[place] : fired.indptr[place + 1]]
            q = _normalised(prior[rules] + counts[rules] + apart[rules] - answers.shares[place])
            told[place] = _said(q, share[rules]).sum(axis=0)
    return told


def _said(q: np.ndarray, share: np.ndarray) -> Float[np.ndarray, "rules labels"]:
    return np.asarray(np.log(q * q.shape[1]) * share[:, None])


def _normalised(counts: np.ndarray) -> Float[np.ndarray, "rules labels"]:
    return np.asarray(counts / counts.sum(axis=1, keepdims=True))


def hear(
    votes: Votes,
    pool: Pool,
    names: Float[np.ndarray, "labels dim"] | None,
    rows: Rows,
    label_ids: Rows,
    label_count: int,
    config: Config | None = None,
) -> RuleModel:
    """What the rules are worth in this pool, with the labels' names heard in the agreement."""
    config = config or Config()
    guessed = sample(votes, rows, config)
    guess = None
    if names is not None and np.any(names) and len(guessed):
        vectors = name_vectors(np.asarray(names, dtype=np.float32), pool.mean)
        guess = softmax(SHARPNESS * centred(pool.vectors(guessed), pool.mean) @ vectors.T)
    return learn(votes, label_count, rows, label_ids, guess=guess, guessed=guessed, config=config)
