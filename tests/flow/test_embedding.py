"""Embedding: every item gets its vector once, whatever is killed, added, renamed or brought along meanwhile."""

from __future__ import annotations

import io
import multiprocessing
import os
import signal
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from PIL import Image

from labeling import encoders, naming, pool, standing
from labeling.errors import BadField, Cancelled
from labeling.flow import embedding
from labeling.models import Item, Job, Label, Project
from tests import make

pytestmark = pytest.mark.django_db


class Counting:
    """An encoder that remembers what it was asked; the vector tells the text's length and first letter."""

    name = "minilm"
    dimension = 3
    modality = "text"

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.named: list[str] = []

    def encode(self, items: Sequence[str]) -> np.ndarray:
        self.asked += items
        return encoders.unit(np.array([[len(text), ord(text[0]) if text else 0, 1] for text in items]))

    def encode_names(self, names: Sequence[str]) -> np.ndarray:
        self.named += names
        return encoders.unit(np.array([[len(name), 0, 1] for name in names]))


@pytest.fixture
def encoder(monkeypatch: pytest.MonkeyPatch) -> Counting:
    counting = Counting()
    monkeypatch.setitem(encoders._loaded, "minilm", counting)  # type: ignore[arg-type]
    return counting


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "CHUNK", 8)


def silent(done: int, total: int = 0, unit: str = "") -> None:
    pass


def embed(project: Project, progress: Any = silent) -> dict[str, Any]:
    # Not running: only one such job may run at once, and some tests want a second worker nevertheless.
    job = Job.objects.create(project=project, kind=Job.Kind.EMBED, state=Job.State.DONE, created_at=make.NOW)
    embedding.run(job, progress)
    return dict(Job.objects.get(pk=job.pk).result)


def texts(count: int, letter: str = "a") -> list[str]:
    return [f"{letter} question with the number {n}" + " more" * (n % 5) for n in range(count)]


def stored(project: Project, dimension: int = 3) -> pool.Vectors:
    return pool.vectors(project.pk, project.encoder, dimension, Item.objects.filter(project=project).count())


def test_every_item_gets_the_vector_of_its_text(encoder: Counting, small_chunks: None) -> None:
    project = make.project(texts=texts(21), labels=["a", "b"])
    assert embed(project) == {"encoder": "minilm", "embedded": 21, "without": 0}
    project.refresh_from_db()
    values, present = stored(project)
    assert present.all()
    assert np.allclose(values, Counting().encode(texts(21)), atol=1e-3)


def test_running_again_encodes_nothing(encoder: Counting, small_chunks: None) -> None:
    project = make.project(texts=texts(21), labels=["a"])
    embed(project)
    encoder.asked.clear()
    assert embed(project) == {"encoder": "minilm", "embedded": 0, "without": 0}
    assert encoder.asked == []
    assert encoder.named == ["a"]


def test_a_later_import_extends_the_pool_and_only_new_items_are_encoded(encoder: Counting, small_chunks: None) -> None:
    project = make.project(texts=texts(13))
    embed(project)
    encoder.asked.clear()
    make.add_texts(project, texts(10, "b"))
    assert embed(project)["embedded"] == 10
    assert sorted(encoder.asked) == sorted(texts(10, "b"))
    project.refresh_from_db()
    values, present = stored(project)
    assert present.all()
    assert np.allclose(values, Counting().encode(texts(13) + texts(10, "b")), atol=1e-3)


def test_items_of_like_length_are_encoded_together(encoder: Counting) -> None:
    embed(make.project(texts=texts(40)))
    lengths = [len(text) for text in encoder.asked]
    assert lengths == sorted(lengths)


def test_a_project_without_items_is_left_alone(encoder: Counting) -> None:
    project = make.project()
    assert embed(project) == {}
    project.refresh_from_db()
    assert project.encoder == ""


def test_progress_counts_items_to_the_last(encoder: Counting, small_chunks: None) -> None:
    said: list[tuple[int, int, str]] = []
    embed(make.project(texts=texts(21)), lambda *told: said.append(told))
    assert said[0] == (0, 21, "items")
    assert said[-1] == (21, 21, "items")
    assert [done for done, _, _ in said] == sorted(done for done, _, _ in said)


def test_what_was_done_before_a_cancel_stays(encoder: Counting, small_chunks: None) -> None:
    project = make.project(texts=texts(21))

    def stop_at_eleven(done: int, total: int, unit: str) -> None:
        if done >= 11:
            raise Cancelled

    with pytest.raises(Cancelled):
        embed(project, stop_at_eleven)
    project.refresh_from_db()
    assert stored(project).present.sum() == 16
    assert embedding.embedded(project) == 16
    assert embed(project)["embedded"] == 5


def _embed_until_killed(project: Project, told: Any) -> None:
    embedding.SAVE_SECONDS = 0

    def tell(done: int, total: int, unit: str) -> None:
        if done >= 12:
            told.set()
            signal.pause()

    embedding.SLICE = dict.fromkeys(embedding.SLICE, 2)
    embedding._embed_missing(project, encoders.get("minilm"), 21, tell)


def test_a_killed_worker_loses_little_and_the_next_one_goes_on(encoder: Counting, small_chunks: None) -> None:
    project = make.project(texts=texts(21), encoder="minilm")
    context = multiprocessing.get_context("fork")
    told = context.Event()
    worker = context.Process(target=_embed_until_killed, args=(project, told))
    worker.start()
    assert told.wait(20)
    os.kill(worker.pid or 0, signal.SIGKILL)
    worker.join()
    assert stored(project).present.sum() == 12
    assert embed(project)["embedded"] == 9
    assert len(encoder.asked) == 9
    assert np.allclose(stored(project).values, Counting().encode(texts(21)), atol=1e-3)


def test_two_workers_at_once_do_no_harm(encoder: Counting, small_chunks: None) -> None:
    project = make.project(texts=texts(21), encoder="minilm")
    begun = False

    def another_begins(done: int, total: int, unit: str) -> None:
        nonlocal begun
        if done and not begun:
            begun = True
            embed(project)

    embed(project, another_begins)
    assert stored(project).present.all()
    assert np.allclose(stored(project).values, Counting().encode(texts(21)), atol=1e-3)


# Which encoder


def test_the_encoder_is_chosen_by_items_from_all_over_the_project(encoder: Counting) -> None:
    project = make.project(texts=["Where is my card?"] + [f"我的第{n}张卡在哪里" for n in range(30)])
    embedding.settle_encoder(project)
    assert project.encoder == "multilingual"
    assert Project.objects.get(pk=project.pk).encoder == "multilingual"


def test_what_the_installation_or_the_project_names_comes_first(settings: Any) -> None:
    settings.ANNOTATOR_TEXT_ENCODER = "multilingual"
    project = make.project(texts=["Where is my card?"])
    embedding.settle_encoder(project)
    assert project.encoder == "multilingual"
    named = make.project(texts=["Where is my card?"], encoder="minilm")
    embedding.settle_encoder(named)
    assert named.encoder == "minilm"


def test_of_two_choices_at_once_the_first_holds() -> None:
    project = make.project(texts=["Where is my card?"])
    Project.objects.filter(pk=project.pk).update(encoder="multilingual")
    embedding.settle_encoder(project)
    assert project.encoder == "multilingual"


def test_an_encoder_of_the_wrong_kind_is_refused() -> None:
    with pytest.raises(encoders.UnknownEncoder, match="Give one of minilm, multilingual"):
        embed(make.project(texts=["x"], encoder="pixels"))


def test_another_encoder_makes_vectors_of_its_own(encoder: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Counting()
    other.name = "multilingual"
    monkeypatch.setitem(encoders._loaded, "multilingual", other)  # type: ignore[arg-type]
    project = make.project(texts=texts(5))
    embed(project)
    Project.objects.filter(pk=project.pk).update(encoder="multilingual")
    project.refresh_from_db()
    assert embedding.embedded(project) == 0
    assert embed(project)["embedded"] == 5


def test_english_questions_with_the_real_encoder() -> None:
    wanted = ["Where is my new card?", "My card has not come", "Will it rain today?"]
    project = make.project(texts=wanted, labels=["card_arrival", "weather"])
    assert embed(project) == {"encoder": "minilm", "embedded": 3, "without": 0}
    project.refresh_from_db()
    values = np.asarray(stored(project, 384).values, dtype=np.float32)
    assert np.allclose(values, encoders.get("minilm").encode(wanted), atol=1e-2)
    names = naming.vectors(project, list(project.labels.all()))
    assert names is not None
    assert (values @ names.T).argmax(1).tolist() == [0, 0, 1]


# Images


def add_images(project: Project, images: list[np.ndarray]) -> None:
    first = standing.add_items(project.pk, len(images))
    for place, image in enumerate(images):
        out = io.BytesIO()
        Image.fromarray(image).save(out, "PNG")
        path = default_storage.save(f"projects/{project.pk}/images/{first + place}.png", ContentFile(out.getvalue()))
        key = (first + place).to_bytes(16, "big")
        Item.objects.create(project=project, row=first + place, image=path, content_hash=key)


def test_small_drawings_are_embedded_by_conv4_and_their_pixels() -> None:
    project = make.project(modality="image", labels=["0"])
    rng = np.random.default_rng(0)
    add_images(project, [rng.integers(0, 255, (8, 8), dtype=np.uint8) for _ in range(5)])
    assert embed(project) == {"encoder": "conv4", "embedded": 5, "without": 0}
    project.refresh_from_db()
    values, _ = stored(project, 554)
    assert np.allclose(np.linalg.norm(values.astype(np.float32), axis=1), 1, atol=1e-2)
    assert naming.vectors(project, list(project.labels.all())) is None


def test_an_image_whose_file_is_gone_stops_nothing() -> None:
    project = make.project(modality="image")
    add_images(project, [np.full((8, 8), 3, dtype=np.uint8), np.eye(8, dtype=np.uint8) * 255])
    default_storage.delete(Item.objects.get(project=project, row=0).image)
    assert embed(project)["embedded"] == 2
    project.refresh_from_db()
    values, _ = stored(project, 554)
    assert not values[0].any()
    assert values[1].any()


# Label names


def test_only_new_wordings_are_encoded_when_names_change(encoder: Counting) -> None:
    project = make.project(texts=texts(2), labels=["card_arrival", "exchange_rate"])
    embed(project)
    assert sorted(encoder.named) == ["card arrival", "exchange rate"]
    encoder.named.clear()
    project.refresh_from_db()
    Label.objects.filter(name="card_arrival").update(name="card_lost", description="stolen, too")
    names = naming.vectors(project, list(project.labels.all()))
    assert encoder.named == ["card lost: stolen, too"]
    assert names is not None
    assert np.allclose(names, Counting().encode_names(["card lost: stolen, too", "exchange rate"]))


def test_without_an_encoder_or_labels_there_are_no_name_vectors(encoder: Counting) -> None:
    project = make.project(texts=texts(2), labels=["a"])
    assert naming.vectors(project, list(project.labels.all())) is None
    project.encoder = "minilm"
    assert naming.vectors(project, []) is None
    project.encoder = "imported"
    assert naming.vectors(project, list(project.labels.all())) is None


# Vectors that the user brings


def test_vectors_brought_along_take_the_encoders_place(small_chunks: None) -> None:
    project = make.project(texts=texts(21))
    mine = np.random.default_rng(0).standard_normal((20, 5))
    rows = np.random.default_rng(1).permutation(21)[:20]
    embedding.bring(project=project, rows=rows, vectors=mine)
    assert Project.objects.get(pk=project.pk).encoder == "imported"
    values, present = stored(project, 5)
    assert sorted(rows.tolist()) == np.flatnonzero(present).tolist()
    assert np.allclose(values[rows], encoders.unit(mine), atol=1e-3)
    assert embed(project) == {"encoder": "imported", "embedded": 0, "without": 1}
    left = np.setdiff1d(np.arange(21), rows)
    embedding.bring(project=project, rows=left, vectors=np.ones((1, 5)))
    assert stored(project, 5).present.all()
    assert np.allclose(stored(project, 5).values[rows], encoders.unit(mine), atol=1e-3)


@pytest.mark.parametrize(
    ("rows", "vectors", "says"),
    [
        ([0, 5], np.ones((2, 3)), "no item in row 5; its last row is 2"),
        ([-1], np.ones((1, 3)), "no item in row -1"),
        ([0, 1], np.ones((1, 3)), "one vector"),
        ([0], np.ones(3), "one vector"),
        ([0], np.ones((1, 0)), "one vector"),
        ([0, 2], np.array([[1.0, 0], [np.nan, 1]]), "row 2 is not finite"),
        ([1], np.array([[np.inf, 0]]), "row 1 is not finite"),
        ([1], np.zeros((1, 3)), "row 1 is not finite or is all zeros"),
    ],
)
def test_vectors_that_cannot_be_used_are_refused_whole(rows: list[int], vectors: np.ndarray, says: str) -> None:
    project = make.project(texts=texts(3))
    with pytest.raises(BadField, match=says):
        embedding.bring(project=project, rows=np.array(rows), vectors=vectors)
    assert Project.objects.get(pk=project.pk).encoder == ""
    assert pool.stored_dimension(project.pk, "imported") is None


def test_vectors_of_another_length_than_before_are_refused() -> None:
    project = make.project(texts=texts(3))
    embedding.bring(project=project, rows=np.arange(2), vectors=np.ones((2, 3)))
    with pytest.raises(BadField, match="4 numbers each, those imported before 3"):
        embedding.bring(project=project, rows=np.array([2]), vectors=np.ones((1, 4)))
