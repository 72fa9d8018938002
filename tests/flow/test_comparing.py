"""Comparing encoders: answers speak for another one, the project goes on with it, and an admin has the last word."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.test import Client
from django.utils import timezone
from PIL import Image

from labeling import dispatch, encoders, pool, standing, tasks
from labeling.encoders import evidence
from labeling.flow import answering, comparing, founding
from labeling.models import Item, Job, Project, Role, Snapshot, User
from tests import make

pytestmark = pytest.mark.django_db
COUNT = 50


class Fake:
    """Sees how bright an image is, or else nothing but noise."""

    dimension = 4
    modality = "image"

    def __init__(self, name: str, sees: bool) -> None:
        self.name = name
        self.sees = sees

    def encode(self, items: Sequence[bytes]) -> np.ndarray:
        rng = np.random.default_rng(len(items))
        noise = rng.standard_normal((len(items), 4))
        if self.sees:
            bright = np.array([np.asarray(Image.open(io.BytesIO(item))).mean() > 100 for item in items])
            noise = 0.1 * noise + np.where(bright[:, None], [1, 0, 0, 0], [0, 1, 0, 0])
        return encoders.unit(noise)

    def encode_names(self, names: Sequence[str]) -> None:
        return None


@pytest.fixture(autouse=True)
def fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in evidence.CANDIDATES:
        monkeypatch.setitem(encoders._loaded, name, Fake(name, name == "conv4"))  # type: ignore[arg-type]


@pytest.fixture
def project() -> Project:
    """Bright and dark images, embedded by an encoder that does not see the difference."""
    made = make.project(modality="image", labels=["dark", "bright"], encoder="pixels")
    first = standing.add_items(made.pk, COUNT)
    for row in range(first, first + COUNT):
        out = io.BytesIO()
        Image.fromarray(np.full((8, 8), 200 * (row % 2) + row % 40, dtype=np.uint8)).save(out, "PNG")
        path = default_storage.save(f"projects/{made.pk}/images/{row}.png", ContentFile(out.getvalue()))
        Item.objects.create(project=made, row=row, image=path, content_hash=row.to_bytes(16, "big"))
    return Project.objects.get(pk=made.pk)


@pytest.fixture
def anna(project: Project) -> User:
    return make.member(project, Role.ANNOTATOR, "anna")


def answer(project: Project, author: User, rows: range) -> None:
    labels = list(project.labels.order_by("position"))
    for item in Item.objects.filter(project=project, row__in=list(rows)):
        answering.submit(project=project, item=item, author=author, label=labels[item.row % 2], now=timezone.now())


def work_off(project: Project) -> list[str]:
    """Run what is queued, and what follows it, as a worker would; returns the kinds of jobs."""
    ran: list[str] = []
    while job := Job.objects.filter(project=project, state=Job.State.QUEUED).order_by("pk").first():
        assert len(ran) < 10, "for ever"
        tasks.run(job.pk)
        ran.append(job.kind)
    project.refresh_from_db()
    return ran


def test_twenty_answers_change_an_encoder_that_does_not_see(project: Project, anna: User) -> None:
    dispatch.start(project, Job.Kind.EMBED)
    assert work_off(project) == ["embed", "adapt"]
    answer(project, anna, range(19))
    assert work_off(project) == ["adapt"]
    assert (project.encoder, project.encoder_evidence) == ("pixels", {})
    answer(project, anna, range(19, 24))
    assert work_off(project) == ["adapt", "embed", "adapt"]
    assert project.encoder == "conv4"
    found = project.encoder_evidence
    assert (found["answers"], found["compared"], found["before"], found["chosen"]) == (24, 24, "pixels", "conv4")
    assert found["right"]["conv4"] == 24 > found["right"]["pixels"]
    assert pool.vectors(project.pk, "conv4", 4, COUNT).present.all()
    assert Snapshot.objects.filter(project=project).latest("number").facts["encoder"] == "conv4"
    answer(project, anna, range(24, 40))
    assert work_off(project) == ["adapt"], "40 answers are not twice 24"
    answer(project, anna, range(40, 50))
    assert work_off(project) == ["adapt", "embed", "adapt"]
    assert (project.encoder, project.encoder_evidence["answers"]) == ("conv4", 50)


def test_several_answers_to_an_item_count_once(project: Project, anna: User) -> None:
    project.overlap = 2
    project.save()
    for person in (anna, make.member(project, Role.ANNOTATOR, "ben")):
        answer(project, person, range(12))
    assert not comparing.due(project)
    assert comparing.compare(project=project) == "pixels"
    assert project.encoder_evidence == {}


def test_a_named_encoder_stays(project: Project, anna: User, settings: Any) -> None:
    answer(project, anna, range(30))
    assert comparing.due(project)
    stale = Project.objects.get(pk=project.pk)
    founding.change(project=project, settings={"encoder": "pixels"})
    assert project.encoder_fixed
    assert not comparing.due(project)
    assert comparing.compare(project=stale) == "pixels", "fixed while it was compared"
    founding.change(project=project, settings={"encoder": ""})
    assert (project.encoder, project.encoder_fixed) == ("", False)
    Project.objects.filter(pk=project.pk).update(encoder="pixels")
    project.refresh_from_db()
    founding.change(project=project, settings={"encoder": ""})
    assert project.encoder == "pixels", "chosen by the data already"
    assert comparing.due(project)
    settings.ANNOTATOR_IMAGE_ENCODER = "pixels"
    assert not comparing.due(project), "the installation names one"


def test_texts_and_vectors_of_ones_own_are_never_compared(anna: User, project: Project) -> None:
    answer(project, anna, range(30))
    for encoder in ("imported", "sentence-transformers:x"):
        project.encoder = encoder
        assert not comparing.due(project)
    project.encoder, project.modality = "pixels", "text"
    assert not comparing.due(project)


def test_the_models_page_shows_the_evidence(project: Project, anna: User, client: Client) -> None:
    answer(project, anna, range(30))
    comparing.compare(project=project)
    make.snapshot(project)
    client.force_login(project.created_by)
    page = client.get(f"/projects/{project.pk}/models").content.decode()
    assert "Changed by your answers to: Small drawings (Conv-4, learned from alphabets)." in page
    assert "30 answered items" in page
    assert "100.0%" in page
    shown = client.get(f"/projects/{project.pk}/settings").content.decode()
    assert "Chosen by the data, now: Small drawings (Conv-4, learned from alphabets)" in shown
