"""The pool: what is written is read, killed writers leave nothing torn, and maps do not change under their readers."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.files.storage import default_storage
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from labeling import blobs, pool

RNG = np.random.default_rng(0)
FAST = settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(params=["folder", "memory"])
def storage(request: pytest.FixtureRequest, settings: Any) -> str:
    """Both kinds of storage: a folder on this machine, and one that has no paths here, as S3 has none."""
    if request.param == "memory":
        settings.STORAGES = settings.STORAGES | {
            "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
        }
    return str(request.param)


def rows(count: int, dimension: int = 4, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, dimension)).astype(np.float16)


# Vectors


def test_vectors_are_read_as_they_were_written(storage: str) -> None:
    first, last = rows(pool.CHUNK), rows(10, seed=1)
    pool.write_chunk(7, "minilm", 0, first)
    pool.write_chunk(7, "minilm", 1, last)
    values, present = pool.vectors(7, "minilm", 4, pool.CHUNK + 10)
    assert values.dtype == np.float16
    assert np.array_equal(values, np.vstack([first, last]))
    assert present.all()
    assert not values.flags.writeable


def test_a_pool_without_vectors_has_none_present(storage: str) -> None:
    values, present = pool.vectors(1, "minilm", 4, 5)
    assert values.shape == (5, 4)
    assert not present.any()
    assert not values.any()
    assert pool.stored_dimension(1, "minilm") is None
    assert pool.vectors(1, "minilm", 4, 0).values.shape == (0, 4)


def test_a_missing_chunk_in_the_middle_is_absent_and_zero(storage: str) -> None:
    pool.write_chunk(1, "minilm", 2, rows(5))
    values, present = pool.vectors(1, "minilm", 4, 2 * pool.CHUNK + 9)
    assert np.flatnonzero(present).tolist() == list(range(2 * pool.CHUNK, 2 * pool.CHUNK + 5))
    assert not values[: 2 * pool.CHUNK].any()
    missing = pool.missing_rows(1, "minilm", 4, 2 * pool.CHUNK + 9)
    assert len(missing) == 2 * pool.CHUNK + 4


def test_rows_of_nan_are_absent_and_do_not_poison_products(storage: str) -> None:
    chunk = rows(6)
    chunk[[1, 4]] = np.nan
    pool.write_chunk(1, "imported", 0, chunk)
    values, present = pool.vectors(1, "imported", 4, 6)
    assert present.tolist() == [True, False, True, True, False, True]
    assert np.isfinite(values).all()
    stored = pool.read_chunk(1, "imported", 0)
    assert stored is not None
    assert np.isnan(stored[[1, 4]]).all()


def test_later_rows_extend_a_pool_that_is_mapped(storage: str) -> None:
    chunk = rows(20)
    pool.write_chunk(1, "minilm", 0, chunk[:8])
    before = pool.vectors(1, "minilm", 4, 8)
    pool.write_chunk(1, "minilm", 0, chunk)
    after = pool.vectors(1, "minilm", 4, 20)
    assert np.array_equal(before.values, chunk[:8])
    assert np.array_equal(after.values, chunk)
    assert after.present.all()


def test_a_map_does_not_change_under_its_reader(storage: str) -> None:
    old, new = rows(8), rows(8, seed=1)
    pool.write_chunk(1, "imported", 0, old)
    mapped = pool.vectors(1, "imported", 4, 8)
    pool.write_chunk(1, "imported", 0, new)
    assert np.array_equal(pool.vectors(1, "imported", 4, 8).values, new)
    assert np.array_equal(mapped.values, old)


def test_writing_the_same_chunk_twice_leaves_one_file(storage: str) -> None:
    for _ in range(2):
        pool.write_chunk(1, "minilm", 0, rows(8))
    assert len(blobs.names("projects/1/vectors/minilm")) == 1


def test_a_slow_job_that_saw_fewer_items_does_not_take_rows_away(storage: str) -> None:
    chunk = rows(20)
    pool.write_chunk(1, "minilm", 0, chunk)
    pool.write_chunk(1, "minilm", 0, chunk[:8])
    assert pool.vectors(1, "minilm", 4, 20).present.all()


def test_encoders_have_pools_of_their_own_whatever_their_names(storage: str) -> None:
    strange = "sentence-transformers:BAAI/bge-m3"
    pool.write_chunk(1, strange, 0, rows(3))
    pool.write_chunk(1, "minilm", 0, rows(3, 6, seed=1))
    assert pool.stored_dimension(1, strange) == 4
    assert pool.stored_dimension(1, "minilm") == 6
    pool.delete_vectors(1, "minilm")
    assert not pool.vectors(1, "minilm", 6, 3).present.any()
    assert pool.vectors(1, strange, 4, 3).present.all()


def test_vectors_of_another_dimension_count_as_missing(storage: str) -> None:
    pool.write_chunk(1, "imported", 0, rows(3, 4))
    assert not pool.vectors(1, "imported", 5, 3).present.any()
    pool.write_chunk(1, "imported", 0, rows(3, 5))
    assert pool.vectors(1, "imported", 5, 3).present.all()


@pytest.mark.parametrize("count", [0, pool.CHUNK + 1])
def test_a_chunk_has_a_size(count: int) -> None:
    with pytest.raises(ValueError, match="1 to 4096"):
        pool.write_chunk(1, "minilm", 0, rows(count))


# Torn writes


def _only(folder: str) -> Path:
    (name,) = blobs.names(folder)
    return Path(default_storage.path(f"{folder}/{name}"))


@pytest.mark.parametrize("keep", [0, 10, 100, 150])
def test_a_torn_chunk_is_missing_and_can_be_written_again(keep: int) -> None:
    pool.write_chunk(1, "minilm", 0, rows(8))
    path = _only("projects/1/vectors/minilm")
    path.write_bytes(path.read_bytes()[:keep])
    assert not pool.vectors(1, "minilm", 4, 8).present.any()
    assert pool.read_chunk(1, "minilm", 0) is None
    pool.write_chunk(1, "minilm", 0, rows(8))
    assert pool.vectors(1, "minilm", 4, 8).present.all()


@pytest.mark.parametrize("rows_before", [0, 7])
def test_a_flipped_bit_is_noticed(rows_before: int) -> None:
    if rows_before:
        pool.write_chunk(1, "minilm", 0, rows(8)[:rows_before])
        assert pool.vectors(1, "minilm", 4, 8).present.sum() == rows_before
    pool.write_chunk(1, "minilm", 0, rows(8))
    path = _only("projects/1/vectors/minilm")
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert not pool.vectors(1, "minilm", 4, 8).present.any()
    pool.write_chunk(1, "minilm", 0, rows(8))
    assert pool.vectors(1, "minilm", 4, 8).present.all()


def test_a_lost_cache_is_put_together_again(settings: Any) -> None:
    pool.write_chunk(1, "minilm", 0, rows(8))
    pool.vectors(1, "minilm", 4, 8)
    folder = Path(settings.ANNOTATOR_CACHE_DIR) / "projects/1/vectors/minilm"
    (folder / "0.vectors").unlink()
    assert np.array_equal(pool.vectors(1, "minilm", 4, 8).values, rows(8))
    for path in folder.iterdir():
        path.unlink()
    assert pool.vectors(1, "minilm", 4, 8).present.all()


def _write_for_ever(started: Any) -> None:
    number = 0
    while True:
        number += 1
        pool.write_chunk(1, "minilm", 0, np.full((pool.CHUNK, 64), number % 100 + 1, dtype=np.float16))
        started.set()


def test_a_writer_killed_at_any_moment_leaves_a_whole_chunk() -> None:
    context = multiprocessing.get_context("fork")
    for attempt in range(6):
        started = context.Event()
        writer = context.Process(target=_write_for_ever, args=(started,))
        writer.start()
        assert started.wait(20)
        deadline = time.monotonic() + 0.02 + 0.013 * attempt
        while time.monotonic() < deadline:
            _assert_whole()
        os.kill(writer.pid or 0, signal.SIGKILL)
        writer.join()
        _assert_whole()


def _assert_whole() -> None:
    values, present = pool.vectors(1, "minilm", 64, pool.CHUNK)
    assert present.all()
    assert len(np.unique(values)) == 1


def test_files_that_a_killed_process_left_are_swept_after_a_day() -> None:
    pool.write_chunk(1, "minilm", 0, rows(3))
    folder = Path(default_storage.path("projects/1/vectors/minilm"))
    part = folder / ".000000-0003-00.npy.abc.part"
    part.write_bytes(b"half")
    assert len(blobs.names("projects/1/vectors/minilm")) == 1
    blobs.sweep("projects/1/vectors/minilm")
    assert part.exists()
    blobs.sweep("projects/1/vectors/minilm", now=time.time() + 2 * 24 * 60 * 60)
    assert not part.exists()


# Predictions


@st.composite
def predictions(draw: st.DrawFn) -> pool.Predictions:
    count = draw(st.integers(0, 50))
    highest = draw(st.sampled_from([5, 32_767, 32_768, 2_000_000_000]))
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    return pool.Predictions(
        rng.integers(-1, highest + 1, count),
        rng.random(count).astype(np.float16),
        rng.integers(-1, highest + 1, count),
        rng.random(count).astype(np.float32),
    )


@FAST
@given(predictions())
def test_predictions_are_read_as_they_were_written(said: pool.Predictions) -> None:
    pool.write_predictions(3, 12, said)
    read = pool.read_predictions(3, 12)
    assert len(read) == len(said)
    assert np.array_equal(read.label_id, said.label_id)
    assert np.array_equal(read.runner_up, said.runner_up)
    assert np.array_equal(read.confidence, said.confidence)
    assert np.array_equal(read.margin, said.margin.astype(np.float16))


def some_predictions(count: int) -> pool.Predictions:
    ids = np.arange(count) % 77
    return pool.Predictions(ids, np.full(count, 0.5), (ids + 1) % 77, np.full(count, 0.25))


def test_a_million_suggestions_are_eight_megabytes(storage: str) -> None:
    pool.write_predictions(1, 1, some_predictions(1_000_000))
    size = default_storage.size("projects/1/snapshots/00000001.predictions.npy")
    assert 8_000_000 <= size < 8_001_000
    assert pool.read_predictions(1, 1).label_id[999_999] == 999_999 % 77


def test_old_snapshots_go_and_the_newest_and_the_kept_stay(storage: str) -> None:
    for number in (1, 2, 3, 9, 10):
        pool.write_predictions(1, number, some_predictions(3))
        pool.write_ranking(1, number, [{"row": number}])
        pool.write_model(1, number, {"w": np.ones(2)})
        pool.read_predictions(1, number)
    assert pool.delete_old_snapshots(1, keep=2, besides=[2]) == [1, 3]
    assert [pool.has_predictions(1, number) for number in (1, 2, 3, 9, 10)] == [False, True, False, True, True]
    with pytest.raises(pool.NotKept, match="Snapshot 3"):
        pool.read_predictions(1, 3)
    with pytest.raises(pool.NotKept):
        pool.read_ranking(1, 1)
    assert pool.read_model(1, 1) is None
    assert pool.read_ranking(1, 10) == [{"row": 10}]
    assert pool.delete_old_snapshots(1, keep=2, besides=[2]) == []


def test_what_was_mapped_stays_readable_after_it_is_deleted() -> None:
    pool.write_predictions(1, 1, some_predictions(5))
    said = pool.read_predictions(1, 1)
    pool.delete_old_snapshots(1, keep=0)
    assert said.label_id.tolist() == [0, 1, 2, 3, 4]


def test_models_and_rankings_are_read_as_they_were_written(storage: str) -> None:
    model = {"weights": RNG.random((3, 2)), "count": np.array(5), "empty": np.zeros((0, 4))}
    pool.write_model(1, 4, model)
    read = pool.read_model(1, 4)
    assert read is not None
    assert read.keys() == model.keys()
    assert all(np.array_equal(read[name], model[name]) for name in model)
    ranking = [{"row": 3, "code": "margin", "labels": [1, 2], "p": [0.5, 0.25], "top": [[1, 0.5]]}]
    pool.write_ranking(1, 4, ranking)
    assert pool.read_ranking(1, 4) == ranking


def test_the_graph_is_of_so_many_items(storage: str) -> None:
    assert pool.read_graph(1, "minilm", 10) is None
    pool.write_graph(1, "minilm", 10, {"row": np.arange(10)})
    pool.write_graph(1, "minilm", 12, {"row": np.arange(12)})
    pool.write_graph(1, "minilm", 12, {"row": -np.arange(12)})
    assert pool.read_graph(1, "minilm", 10) is None
    read = pool.read_graph(1, "minilm", 12)
    assert read is not None
    assert read["row"].tolist() == (-np.arange(12)).tolist()
    assert len(blobs.names("projects/1/graphs/minilm")) == 1


def test_a_project_goes_with_all_its_arrays(storage: str) -> None:
    pool.write_chunk(1, "minilm", 0, rows(3))
    pool.write_chunk(2, "minilm", 0, rows(3))
    pool.write_predictions(1, 1, some_predictions(3))
    pool.vectors(1, "minilm", 4, 3)
    pool.delete_project(1)
    assert not pool.has_predictions(1, 1)
    assert not pool.vectors(1, "minilm", 4, 3).present.any()
    assert pool.vectors(2, "minilm", 4, 3).present.all()


# Any order of writing, against a plain array


class PoolMachine(RuleBasedStateMachine):
    """Chunks written in any order and number are, at each moment, what a plain array would hold."""

    project = 0

    @initialize()
    def begin(self) -> None:
        PoolMachine.project += 1
        self.truth = np.full((3 * pool.CHUNK, 2), np.nan, dtype=np.float16)
        self.written = [0, 0, 0]

    @rule(chunk=st.integers(0, 2), count=st.integers(1, pool.CHUNK), seed=st.integers(0, 9), holes=st.booleans())
    def write(self, chunk: int, count: int, seed: int, holes: bool) -> None:
        count = max(count, self.written[chunk])
        new = rows(count, 2, seed)
        if holes:
            new[seed::7] = np.nan
        pool.write_chunk(PoolMachine.project, "e", chunk, new)
        self.truth[chunk * pool.CHUNK : chunk * pool.CHUNK + count] = new
        self.written[chunk] = count

    @invariant()
    def reads_as_the_truth(self) -> None:
        if not hasattr(self, "truth"):
            return
        for items in (len(self.truth), 17):
            values, present = pool.vectors(PoolMachine.project, "e", 2, items)
            assert np.array_equal(present, ~np.isnan(self.truth[:items, 0]))
            assert np.array_equal(values, np.nan_to_num(self.truth[:items]))


PoolMachine.TestCase.settings = settings(max_examples=15, stateful_step_count=8, deadline=None)
TestPool = PoolMachine.TestCase
