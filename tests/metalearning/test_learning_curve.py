"""Learning curves: forecasts follow from the curve, hold for made-up ones, and are not made where nothing tells."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.forecasting import made_up
from metalearning.learning_curve import FARTHEST, Curve, Forecast, fit, forecast, gain, pays


def known(**numbers: float) -> Curve:
    """One draw that is known: error = floor + start exp(-(n / scale)^shape)."""
    given = {"start": 0.3, "scale": 150.0, "shape": 1.0, "floor": 0.01} | numbers
    return Curve(100, **{name: np.array([value]) for name, value in given.items()})  # type: ignore[arg-type]


@given(
    start=st.floats(0.05, 0.8),
    scale=st.floats(20, 500),
    shape=st.floats(0.4, 2),
    floor=st.floats(0.0001, 0.1),
    goal=st.floats(0.5, 0.999),
)
def test_the_answers_needed_are_where_the_curve_reaches_the_goal(
    start: float, scale: float, shape: float, floor: float, goal: float
) -> None:
    """Second opinion: walk along the curve."""
    curve = known(start=start, scale=scale, shape=shape, floor=floor)
    needed = float(curve.needed(goal)[0])
    if np.isinf(needed):
        assert curve.accuracy(1e9)[0] <= goal + 1e-9
        return
    assert curve.accuracy(needed)[0] >= goal - 1e-6
    if needed > 1:
        assert curve.accuracy(needed * 0.99)[0] <= goal + 1e-9


@given(factor=st.floats(0.05, 1.0))
def test_the_error_shrinks_to_the_factor_where_it_is_said_to(factor: float) -> None:
    curve = known(floor=0.0001)
    needed = float(curve.needed_to_shrink(factor)[0])
    assert 1 - curve.accuracy(needed)[0] == pytest.approx(factor * (1 - curve.accuracy(100)[0]), rel=1e-6)


@given(goals=st.lists(st.floats(0.5, 0.99), min_size=2, max_size=2).map(sorted))
def test_a_higher_goal_never_needs_fewer_answers(goals: list[float]) -> None:
    curve = known()
    assert curve.needed(goals[0])[0] <= curve.needed(goals[1])[0]


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), rounds=st.integers(5, 40), goal=st.floats(0.6, 0.999))
def test_a_forecast_is_in_order_and_within_its_horizon(seed: int, rounds: int, goal: float) -> None:
    one = made_up(np.random.default_rng(seed), rounds)
    curve = fit(*one.told, np.random.default_rng(0))
    told = forecast(curve, goal)
    if curve is None:
        assert told == Forecast(None, None, None, "few")
    elif told.reason:
        assert (told.likely, told.high) == (None, None)
    else:
        assert told.low is not None
        assert told.likely is not None
        assert told.high is not None
        assert 0 <= told.low <= told.likely <= told.high <= FARTHEST * curve.answers + 1


def test_intervals_hold_on_made_up_curves() -> None:
    """At least 85 of 100 (95 are meant; bench/forecasting.py counts 1,000), and most of them are told."""
    held = told = 0
    for seed in range(100):
        one = made_up(np.random.default_rng(seed), 20)
        goal = one.goal_after(100)
        found = forecast(fit(*one.told, np.random.default_rng(0)), goal)
        if found.likely is not None and found.low is not None and found.high is not None:
            told += 1
            held += found.low - 10 <= 100 <= found.high + 10
    assert told >= 30
    assert held >= 0.85 * told


def test_few_estimates_and_estimates_of_one_place_tell_nothing() -> None:
    one = made_up(np.random.default_rng(0), 30)
    assert fit(*(values[:4] for values in one.told), np.random.default_rng(0)) is None
    assert fit(*(values[-5:] for values in one.told), np.random.default_rng(0)) is None


def test_a_goal_above_where_the_curve_levels_off_is_far() -> None:
    answers = np.arange(20.0, 620, 20)
    accuracy = 0.8 - 0.3 * np.exp(-answers / 60)
    curve = fit(answers, accuracy, accuracy - 0.01, accuracy + 0.01, np.random.default_rng(0))
    assert curve is not None
    assert forecast(curve, 0.95).reason == "far"
    flat = gain(curve, 50)
    assert flat.high < 0.01
    assert not pays(flat)


def test_a_steep_curve_still_pays() -> None:
    answers = np.arange(20.0, 120, 10)
    accuracy = 1 - 0.5 * np.exp(-answers / 150)
    curve = fit(answers, accuracy, accuracy - 0.03, accuracy + 0.03, np.random.default_rng(0))
    assert curve is not None
    expected = gain(curve, 50)
    assert expected.low <= expected.value <= expected.high
    assert expected.value == pytest.approx(0.5 * (np.exp(-110 / 150) - np.exp(-160 / 150)), abs=0.04)
    assert pays(expected)
