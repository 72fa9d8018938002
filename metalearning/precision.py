"""Precision: which of float32 and bfloat16 a pass over images is faster in, on the processor at hand."""

import time
from collections.abc import Callable
from functools import cache
from typing import Literal

import torch

from metalearning.convolution import convolve

QueryDtype = torch.dtype | Literal["fastest"] | None
ROUNDS = 5
WORTH = 0.8
"""bfloat16 has to take less than this share of float32's time: casting, and a graph of operations, take their own."""


def resolved(dtype: QueryDtype) -> torch.dtype | None:
    """The dtype to cast to, or None. "fastest" is measured once in a process, in some hundredths of a second."""
    if dtype != "fastest":
        return dtype
    return torch.bfloat16 if bfloat16_is_faster() else None


@cache
def bfloat16_is_faster() -> bool:
    """Whether convolutions are, forwards and backwards. That a processor has instructions for it doesn't tell."""
    half, full = _seconds(_passes(torch.bfloat16)), _seconds(_passes(torch.float32))
    return half < WORTH * full


def _passes(dtype: torch.dtype) -> Callable[[], object]:
    """A block of Conv-4 on 25 images, and its derivatives."""
    images, weight = (
        torch.ones(shape, dtype=dtype).to(memory_format=torch.channels_last).requires_grad_()
        for shape in ((25, 64, 14, 14), (64, 64, 3, 3))
    )
    return lambda: torch.autograd.grad(convolve(images, weight).sum(), [images, weight])


def _seconds(run: Callable[[], object]) -> float:
    """The least CPU time of some rounds, after one that warms up."""
    run()
    taken = []
    for _ in range(ROUNDS):
        begin = time.thread_time()
        run()
        taken.append(time.thread_time() - begin)
    return min(taken)
