"""Calibration: confidences that come true, and accuracies that were measured on answers the model had not seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.optimize import minimize_scalar

from metalearning.vectors import Rows, log_softmax


@dataclass(frozen=True)
class Calibration:
    """How logits become probabilities: `softmax(logits / temperature)`."""

    temperature: float

    def temper(self, logits: Float[np.ndarray, "items labels"]) -> Float[np.ndarray, "items labels"]:
        """The logits whose softmax is calibrated."""
        return logits / np.float32(self.temperature)


PRIOR = Calibration(1.0)
"""Before any answer: what served best on development data."""
PRIOR_SPREAD = 0.3
"""Standard deviation of log(temperature) over projects."""


def fit(logits: Float[np.ndarray, "rows labels"], label_ids: Rows, weights: Float[np.ndarray, " rows"]) -> Calibration:
    """The temperature under which held-out answers are likeliest (Guo et al. 2017), drawn to `PRIOR` if few."""
    if not len(label_ids):
        return PRIOR
    answered = np.arange(len(label_ids))

    def loss(log_temperature: float) -> float:
        surprise = -log_softmax(logits * np.float32(np.exp(-log_temperature)))[answered, label_ids]
        return float(weights @ surprise + 0.5 * ((log_temperature - np.log(PRIOR.temperature)) / PRIOR_SPREAD) ** 2)

    found = minimize_scalar(loss, bounds=(np.log(0.1), np.log(10)), method="bounded", options={"xatol": 1e-3})
    return Calibration(float(np.exp(found.x)))
