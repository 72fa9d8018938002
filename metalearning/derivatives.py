"""Derivatives written by hand: what is not written must be refused, not left out in silence."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch


class NotWritten(RuntimeError):
    """A derivative of a derivative that was written as plain numbers."""

    def __init__(self) -> None:
        super().__init__("this derivative is the last one that is written out: it can't be derived once more")


def last(backward: Callable[..., Any]) -> Callable[..., Any]:
    """For the `backward` of an autograd function that gives plain numbers. Raises NotWritten where a graph is wanted.

    Torch's own `once_differentiable` does not when asked by `torch.autograd.grad` for certain inputs: there it leaves
    the missing part out.
    """

    @wraps(backward)
    def wrapped(ctx: Any, *cotangents: Any) -> Any:
        if torch.is_grad_enabled() and any(one.requires_grad for one in cotangents if one is not None):
            raise NotWritten
        with torch.no_grad():
            return backward(ctx, *cotangents)

    return wrapped
