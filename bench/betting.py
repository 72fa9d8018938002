"""How many audits three gamblers need to certify one set, by the share of its suggestions that is wrong.

    python bench/betting.py [--projects 150]

"plug-in" bets each draw at its running guess of the error rate (Waudby-Smith & Ramdas 2024, section 4); "mixture" is
the one that metalearning.certificate uses. All three keep the promise; they differ in how long they take.
"""

import argparse
import math
import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from metalearning.certificate import capital, refused_errors

DELTA, MOST = 0.05, 600
Gambler = Callable[[Sequence[bool], int, float], int]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--projects", type=int, default=150)
    options = parser.parse_args()
    print(f"median audits, and the share of {options.projects} projects certified within 200 ({MOST} at most)")
    gamblers: dict[str, Gambler] = {"plug-in": plug_in, "believes in no error": all_clean, "mixture": mixture}
    print("| eps | items | truly wrong | " + " | ".join(gamblers) + " |\n|" + "---|" * 6)
    for eps, size in ((0.05, 1000), (0.05, 3000), (0.02, 3000)):
        for part in (0.0, 0.1, 0.25, 0.5):
            wrong = round(part * eps * size)
            generator = torch.Generator().manual_seed(0)
            draws = [
                (torch.randperm(size, generator=generator)[:MOST] < wrong).tolist() for _ in range(options.projects)
            ]
            cells = [_cell([gamble(drawn, size, eps) for drawn in draws]) for gamble in gamblers.values()]
            print(f"| {eps:.0%} | {size} | {wrong / size:.2%} | " + " | ".join(cells) + " |", flush=True)


def mixture(drawn: Sequence[bool], size: int, eps: float) -> int:
    errors = 0
    for draws, is_wrong in enumerate(drawn, 1):
        errors += is_wrong
        if capital(size, eps, draws, errors) >= 1 / DELTA:
            return draws
    return MOST


def all_clean(drawn: Sequence[bool], size: int, eps: float) -> int:
    """Bets everything on no error at all: unbeaten if that is so, ruined by the first."""
    worst, held = refused_errors(size, eps), 0.0
    for draws, is_wrong in enumerate(drawn, 1):
        if is_wrong:
            return MOST
        held -= math.log1p(-worst / (size - draws + 1))
        if held >= -math.log(DELTA):
            return draws
    return MOST


def plug_in(drawn: Sequence[bool], size: int, eps: float) -> int:
    worst, errors, held = refused_errors(size, eps), 0, 0.0
    for before, is_wrong in enumerate(drawn):
        null = (worst - errors) / (size - before)
        if null <= 0:
            return MOST
        guess = min((0.5 * eps + errors) / (4 + before), 0.5 * null)
        held += math.log(guess / null) if is_wrong else math.log((1 - guess) / (1 - null))
        errors += is_wrong
        if held >= -math.log(DELTA):
            return before + 1
    return MOST


def _cell(audits: Sequence[int]) -> str:
    return f"{statistics.median(audits):.0f} ({sum(n <= 200 for n in audits) / len(audits):.0%})"


if __name__ == "__main__":
    main()
