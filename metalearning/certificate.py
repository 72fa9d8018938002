"""Certificates: how many of the surest suggestions may be accepted with a bound on their error that holds.

Claim: "at most a share eps of these M suggestions is wrong", false with probability at most delta.

    plan    freeze the suggestions, sort them surest first, take a candidate set and its 50 %, 75 % and 100 % prefixes;
            a seed drawn afterwards fixes one random order of all candidates
    audit   people label the candidates blind, in that order
    judge   test the prefixes one after the other, each on its own items in that order; the first that does not pass
            ends it; the largest prefix that passed is certified

One prefix: let K be the number of wrong suggestions among its M. The claim is false if K >= K0 = floor(eps M) + 1. A
gambler starts with capital 1 and bets on each next draw (without replacement) at the odds that K0 sets, as somebody
would who believes in fewer errors: capital after t draws with s errors is

    sum_K w_K * P(these draws | K) / P(these draws | K0)        over K < K0, w_K proportional to exp(-8 K / K0)

If the claim is false the capital can't be expected to grow at any draw, so that it ever reaches 1 / delta has a
probability of at most delta (Ville's inequality), whenever one looks and stops. Betting without replacement:
Waudby-Smith & Ramdas 2024, "Estimating means of bounded random variables by betting", section 5. Prefixes in a fixed
order need no share of delta each: the first whose claim is false must pass by chance for any harm to be done, and its
audits are a uniform sample of it, although other prefixes share them.

The bound is on the suggestions as they were frozen. What the auditors correct makes the exported set better still;
what they get wrong themselves is not seen here and must be stated beside it.
"""

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import gammaln

State = Literal["open", "passed", "failed"]

PREFIXES = (0.5, 0.75, 1.0)
BELIEF_DECAY = 8.0
"""How much the gambler favours few errors. With 8, a set of 3,000 without an error needs 64 audits for eps = 5 %, 6
more than the fewest possible; with one error in eighty it needs 120 (median), where a gambler who believes in no error
is ruined in half of all cases (bench/betting.py)."""


class ClaimInvalid(ValueError):
    """eps, delta or the attempt's number are out of range."""

    def __init__(self, name: str, value: float, allowed: str) -> None:
        super().__init__(f"{name} = {value} must be {allowed}")


@dataclass(frozen=True)
class Claim:
    """At most `eps` wrong, with confidence 1 - `delta`, in this `attempt` (1 first) of a series of any length.

    attempt 0: the only one that will ever be made; it may spend all of delta.
    """

    eps: float
    delta: float = 0.05
    attempt: int = 0

    def __post_init__(self) -> None:
        for name in ("eps", "delta"):
            if not 0 < getattr(self, name) < 1:
                raise ClaimInvalid(name, getattr(self, name), "between 0 and 1")
        if self.attempt < 0:
            raise ClaimInvalid("attempt", self.attempt, "at least 0")

    @property
    def level(self) -> float:
        """What this attempt may spend of delta; over all attempts from 1 on this sums to delta."""
        return self.delta * spent_share(self.attempt)


@dataclass(frozen=True)
class Plan:
    """What is to be certified: fixed before the first audit.

    item_ids: the candidates, surest first; prefixes: how many of them each test covers, rising; order: the ranks
    (positions in item_ids) in the order in which they are to be audited, a function of item_ids and seed.
    """

    claim: Claim
    item_ids: tuple[str, ...]
    prefixes: tuple[int, ...]
    seed: str
    order: tuple[int, ...]


@dataclass(frozen=True)
class PrefixTest:
    """One prefix's test so far: the gambler's capital over `draws` audits, of which `errors` found a wrong label."""

    size: int
    draws: int
    errors: int
    capital: float
    needed: float
    state: State


@dataclass(frozen=True)
class Evidence:
    """Where a certificate stands.

    accepted: how many of the surest items are certified as of now (0 if none).
    clean_to_next: at least so many more audits, all clean, decide the prefix under test; clean_to_all: all prefixes.
    Both are 0 once the state is not "open". `audits` counts the answered audits, of use for the tests or not.
    """

    state: State
    accepted: int
    tests: tuple[PrefixTest, ...]
    audits: int
    clean_to_next: int
    clean_to_all: int


def spent_share(attempt: int) -> float:
    """The part of delta that attempt k spends: .8, .1, .033, .017, ... = .8, then .2 / (k (k - 1)); 1 for attempt 0."""
    return (1.0, 0.8)[attempt] if attempt < 2 else 0.2 / (attempt * (attempt - 1))


# Planning -----------------------------------------------------------------------------------------------------------


def fewest_audits(eps: float, delta: float) -> int:
    """ceil(ln delta / ln(1 - eps)): with fewer clean audits of an endless set, nobody can claim it; 149 for 2 %."""
    return math.ceil(math.log(delta) / math.log1p(-eps))


def naive_size(confidences: Sequence[float], eps: float) -> int:
    """The largest prefix whose mean 1 - confidence is at most eps: what a threshold without an audit would accept.

    It is here to be compared with: the bound it promises was broken in 18 to 40 % of simulated projects.
    """
    doubt = 1 - np.asarray(confidences, dtype=np.float64)
    fitting = np.flatnonzero(doubt.cumsum() / np.arange(1, len(doubt) + 1) <= eps)
    return int(fitting[-1]) + 1 if len(fitting) else 0


def candidate_size(confidences: Sequence[float], claim: Claim) -> int:
    """How many of the surest suggestions to try: the prefix of expected error 2 eps, but enough to be testable.

    The model's own confidence only proposes; it may be as wrong as it likes. `confidences` in [0, 1], surest first.
    """
    least = 2 * fewest_audits(claim.eps, claim.level)
    return min(len(confidences), max(naive_size(confidences, 2 * claim.eps), least))


def audit_order(item_ids: Sequence[str], seed: str) -> tuple[int, ...]:
    """The ranks in audit order: by SHA-256 of "seed:item id", which anyone can check in any language.

    The order is as good as random to those who chose the items only if the seed was drawn after the items were fixed.
    """
    return tuple(sorted(range(len(item_ids)), key=lambda rank: _digest(f"{seed}:{item_ids[rank]}")))


def plan(item_ids: Sequence[str], confidences: Sequence[float], claim: Claim, seed: str) -> Plan:
    """The candidate set and its prefixes; `item_ids` are all unlabelled items, surest first (by margin), all distinct.

    Raises ClaimInvalid where there is no item, or one item twice.
    """
    if not item_ids or len(set(item_ids)) != len(item_ids):
        raise ClaimInvalid("items", len(item_ids), "one or more, each listed once")
    candidates = tuple(item_ids[: candidate_size(confidences, claim)])
    sizes = sorted({max(1, int(share * len(candidates))) for share in PREFIXES})
    return Plan(claim, candidates, tuple(sizes), seed, audit_order(candidates, seed))


# Judging ------------------------------------------------------------------------------------------------------------


def refused_errors(size: int, eps: float) -> int:
    """K0: the least number of errors among `size` items that breaks the claim."""
    # 0.07 * 100 is 7.000000000000001 in floating point: a share that is meant to be a whole number must stay one.
    return math.floor(eps * size + 1e-9) + 1


@lru_cache(maxsize=1 << 16)
def capital(size: int, eps: float, draws: int, errors: int) -> float:
    """The gambler's capital after `draws` from `size` items with `errors` wrong ones; the order does not matter.

    0 once the claim is known to be false, infinity once it is known to be true.
    """
    worst = refused_errors(size, eps)
    if errors >= worst:
        return 0.0
    if draws - errors > size - worst:
        return math.inf
    believed = np.arange(errors, worst, dtype=np.float64)
    weights = -BELIEF_DECAY * np.arange(worst) / worst
    weights = (weights - _log_sum(weights))[errors:]
    clean = draws - errors
    # P(draws | K) is proportional to K (K-1) ... * (M-K) (M-K-1) ...: `errors` and `clean` factors.
    likelihood = _log_falling(believed, errors) + _log_falling(size - believed, clean)
    edge = np.array([worst, size - worst], dtype=np.float64)
    refused = float(_log_falling(edge[:1], errors)[0] + _log_falling(edge[1:], clean)[0])
    return math.exp(min(_log_sum(weights + likelihood) - refused, 700.0))


def _log_sum(logs: Float[np.ndarray, " n"]) -> float:
    """log(sum(exp(logs))) without overflow; scipy's spends ten times as long on what else it can do."""
    most = float(logs.max())
    return most if math.isinf(most) else most + math.log(float(np.exp(logs - most).sum()))


def judge(plan: Plan, wrong: Mapping[str, bool], budget: int | None = None) -> Evidence:
    """The evidence of the audits so far: `wrong[item id]` says whether the frozen suggestion was wrong.

    Audits may be answered in any order, and looked at after each: a test uses those before the first gap in its order.
    When `budget` audits are answered, tests that are still open have failed. Answers for other items are ignored.
    """
    candidates = set(plan.item_ids)
    known = {item_id: bool(is_wrong) for item_id, is_wrong in wrong.items() if item_id in candidates}
    spent = budget is not None and len(known) >= budget
    tests = tuple(_run(plan, known.get, final=spent))
    accepted = max((test.size for test in tests if test.state == "passed"), default=0)
    state: State = "open" if tests[-1].state == "open" else "passed" if accepted else "failed"
    to_next, to_all = _clean_audits_missing(plan, known, len(tests)) if state == "open" else (0, 0)
    return Evidence(state, accepted, tests, len(known), to_next, to_all)


def next_audits(plan: Plan, wrong: Mapping[str, bool], count: int) -> list[str]:
    """Up to `count` items to audit now: the first unanswered ones of the prefix under test, in audit order."""
    tests = tuple(_run(plan, wrong.get, final=False))
    if tests[-1].state != "open":
        return []
    missing = (plan.item_ids[rank] for rank in plan.order if rank < tests[-1].size)
    return [item_id for item_id, _ in zip((i for i in missing if i not in wrong), range(count), strict=False)]


def audits_to_pass(plan: Plan, wrong: Mapping[str, bool]) -> list[str]:
    """The items still to be audited, in audit order, until the prefix under test passes if none of them is wrong.

    They may all be asked at once: each of them will be needed, unless the test fails.
    """
    missing: dict[str, None] = {}

    def outcome(item_id: str) -> bool:
        if item_id not in wrong:
            missing[item_id] = None
        return wrong.get(item_id, False)

    for _ in _run(plan, outcome, final=False):
        if missing:
            break
    return list(missing)


def audits_at_best(plan: Plan) -> int:
    """How many audits certify the whole candidate set if none finds an error."""
    return judge(plan, {}).clean_to_all


@dataclass(frozen=True)
class Forecast:
    """What simulated audits say beforehand: audits at best, their median, the chance that anything is certified, and
    the expected share of the candidate set that is."""

    at_best: int
    median_audits: int
    chance: float
    expected_share: float


def forecast(
    plan: Plan, error_chances: Sequence[float], budget: int, generator: np.random.Generator, runs: int = 100
) -> Forecast:
    """Audit `runs` imagined projects in which candidate `rank` is wrong with chance `error_chances[rank]`.

    As good as these chances are: give calibrated ones, and call the outcome a forecast.
    """
    chances = np.asarray(error_chances, dtype=np.float64)
    ranks = {item_id: rank for rank, item_id in enumerate(plan.item_ids)}
    used, shares = [], []
    for _ in range(runs):
        drawn = generator.random(len(chances)) < chances
        audits, accepted = _until_decided(plan, _lookup(drawn, ranks), budget)
        used.append(audits)
        shares.append(accepted / len(plan.item_ids))
    return Forecast(
        at_best=audits_at_best(plan),
        median_audits=sorted(used)[len(used) // 2],
        chance=sum(share > 0 for share in shares) / runs,
        expected_share=sum(shares) / runs,
    )


def _run(plan: Plan, outcome: Callable[[str], bool | None], *, final: bool) -> Iterator[PrefixTest]:
    """Test prefix after prefix, and stop behind the first that has not passed."""
    for size in plan.prefixes:
        test = _test(plan, size, outcome, final=final)
        yield test
        if test.state != "passed":
            return


def _test(plan: Plan, size: int, outcome: Callable[[str], bool | None], *, final: bool) -> PrefixTest:
    eps, needed = plan.claim.eps, 1 / plan.claim.level
    draws = errors = 0
    held = 1.0
    for rank in plan.order:
        if rank >= size:
            continue
        is_wrong = outcome(plan.item_ids[rank])
        if is_wrong is None:
            break
        draws, errors = draws + 1, errors + is_wrong
        held = capital(size, eps, draws, errors)
        # The first crossing decides: the capital may fall again, and it is the right to stop that was paid for.
        if held >= needed or held == 0:
            break
    state: State = "passed" if held >= needed else "failed" if held == 0 or final else "open"
    return PrefixTest(size, draws, errors, held, needed, state)


def _clean_audits_missing(plan: Plan, known: Mapping[str, bool], reached: int) -> tuple[int, int]:
    """(for the prefix under test, for all prefixes): go on as if every unanswered audit were clean, and count those.

    Answers that lie beyond a gap are used as they are.
    """
    imagined: set[str] = set()

    def outcome(item_id: str) -> bool:
        if item_id not in known:
            imagined.add(item_id)
        return known.get(item_id, False)

    counts = []
    for _ in _run(plan, outcome, final=False):
        counts.append(len(imagined))
    return counts[reached - 1], counts[-1]


def _until_decided(plan: Plan, truth: Callable[[str], bool], budget: int) -> tuple[int, int]:
    """(audits used, items accepted) if `truth` says which items turn out wrong, with at most `budget` audits."""
    answered: set[str] = set()

    def outcome(item_id: str) -> bool | None:
        if item_id not in answered and len(answered) >= budget:
            return None
        answered.add(item_id)
        return truth(item_id)

    accepted = max((test.size for test in _run(plan, outcome, final=True) if test.state == "passed"), default=0)
    return len(answered), accepted


def _lookup(drawn: Bool[np.ndarray, " items"], ranks: Mapping[str, int]) -> Callable[[str], bool]:
    return lambda item_id: bool(drawn[ranks[item_id]])


def _log_falling(start: Float[np.ndarray, " n"], factors: int) -> Float[np.ndarray, " n"]:
    """log of start (start - 1) ... (start - factors + 1); -inf where a factor is 0 or below."""
    falling: Float[np.ndarray, " n"] = np.where(
        start >= factors, gammaln(start + 1) - gammaln(np.maximum(start - factors + 1, 1)), -np.inf
    )
    return falling


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
