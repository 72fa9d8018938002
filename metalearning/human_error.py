"""Human error: how often auditors err themselves, and what that leaves of a certificate's bound.

A certificate bounds how many labels differ from what auditors say blind. A wrong label that an auditor confirms is not
among them, and then the auditor erred too. So of all labels at most eps + a are wrong, where a is the share of items on
which an auditor errs (Boole's inequality), and the claim about a may fail beside the certificate's own: with confidence
1 - delta - alpha / 2. The reverse mistake, to refute a right label, counts against the labels already: where auditors
err alone, the bound is far from reached.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

from metalearning.audits import Interval, auditor_error, exact

ALPHA = 0.05
"""Of the interval of the auditors' error; only its upper end, at half of this, enters a bound."""
FEWEST_GOLD = 10
"""Gold answers from which they are believed rather than doubled audits: they show what two people mistake alike."""


@dataclass(frozen=True)
class Seen:
    """What is known of a certificate's auditors: counts, all at least 0.

    people: who answered its audits. doubles: audits that two people answered, of which `disagreements` differ. gold:
    answers of these people to items whose label was known, of which `gold_wrong` were wrong.
    """

    people: int = 0
    doubles: int = 0
    disagreements: int = 0
    gold: int = 0
    gold_wrong: int = 0

    def __post_init__(self) -> None:
        for some, all_ in ((self.disagreements, self.doubles), (self.gold_wrong, self.gold), (0, self.people)):
            if not 0 <= some <= all_:
                raise ValueError(f"{some} of {all_} is no count in {asdict(self)}")


@dataclass(frozen=True)
class Bounded:
    """A certificate's bound on wrong labels, auditors' mistakes included, and the confidence that it has."""

    error: Interval
    source: Literal["gold", "doubles"]
    most_wrong: float
    confidence: float


def auditors_err(seen: Seen, alpha: float = ALPHA) -> tuple[Interval, Literal["gold", "doubles"]] | None:
    """The share of items on which an auditor errs, and what tells it; None where nothing does.

    Gold answers give it directly (Clopper & Pearson 1934); where auditors differ, it is that of their pooled answers.
    Doubled audits give a lower estimate, see `audits.auditor_error`.
    """
    if seen.gold >= FEWEST_GOLD:
        return exact(seen.gold_wrong, seen.gold, alpha), "gold"
    if seen.doubles:
        return auditor_error(seen.doubles, seen.disagreements, alpha), "doubles"
    return None


def bounded(seen: Seen, eps: float, delta: float) -> Bounded | None:
    """How many labels are wrong at most if at most eps differ from what auditors say; None where nothing tells more."""
    known = auditors_err(seen)
    if known is None:
        return None
    error, source = known
    return Bounded(error, source, min(eps + error.high, 1.0), max(1 - delta - ALPHA / 2, 0.0))
