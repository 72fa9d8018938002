"""Reuse between projects: labels of the same name begin with what a contributing project was told of them."""

from __future__ import annotations

import numpy as np
import pytest

from labeling import inherited, learner, pool
from labeling.flow import adapting
from labeling.models import Item, Project
from tests import factories, make

pytestmark = pytest.mark.django_db
ENCODER = "imported"


def made(name: str, labels: list[str], admin: str, seed: int, **facts: object) -> Project:
    """Sixty items in three groups that are the same in every project; group k is called labels[k]."""
    project = make.project(
        labels=labels, texts=[f"{name} {row}" for row in range(60)], name=name, admin=admin, encoder=ENCODER, **facts
    )
    noise = np.random.default_rng(seed).standard_normal((60, 8))
    x = np.eye(3, 8)[np.arange(60) % 3] + 0.2 * noise
    pool.write_chunk(project.pk, ENCODER, 0, (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32))
    return project


@pytest.fixture
def earlier() -> Project:
    """A finished project in which thirty items are answered, and whose admin agreed."""
    learner.forget()
    project = made("Old", ["Card arrival", "lost_card", "PIN"], "ada", 0, contributes=True)
    for item in Item.objects.filter(project=project, row__lt=30):
        factories.answer(item, make.user("ada"), factories.label(project, item.row % 3))
    return project


def right(project: Project) -> float:
    snapshot = adapting.adapt(project=project)
    assert snapshot is not None
    ids = np.array(list(project.labels.order_by("position").values_list("pk", flat=True)))
    said = pool.read_predictions(project.pk, snapshot.number).label_id
    return float((said == ids[np.arange(60) % 3]).mean())


def test_without_one_answer_the_labels_are_known(earlier: Project) -> None:
    project = made("New", ["card  arrival", "Lost card", "pin"], "bea", 1)
    assert right(project) > 0.9
    facts = project.snapshots.get().facts
    assert facts["voices"] == {"earlier projects": 1.0}


@pytest.mark.parametrize("change", [{"contributes": False}, {"encoder": "minilm"}])
def test_only_who_agreed_and_reads_alike_gives(earlier: Project, change: dict[str, object]) -> None:
    Project.objects.filter(pk=earlier.pk).update(**change)
    project = made("New", ["card arrival", "lost card", "pin"], "bea", 1)
    assert inherited.of(project, list(project.labels.all()), 8) is None
    assert right(project) == 0, "nothing is claimed"


def test_who_declines_takes_nothing(earlier: Project) -> None:
    project = made("New", ["card arrival", "lost card", "pin"], "bea", 1, reuses=False)
    assert inherited.of(project, list(project.labels.all()), 8) is None


def test_labels_that_mean_something_else_are_unlearned(earlier: Project) -> None:
    project = made("Turned", ["lost card", "pin", "card arrival"], "bea", 2)
    assert right(project) < 0.1
    for item in Item.objects.filter(project=project, row__lt=30):
        factories.answer(item, make.user("bea"), factories.label(project, item.row % 3))
    assert right(project) > 0.9, "the answers decide"


def test_a_shared_part_of_the_labels_leaves_room_for_the_others(earlier: Project) -> None:
    project = made("Part", ["card arrival", "something else", "pin"], "bea", 3)
    found = inherited.of(project, list(project.labels.order_by("position")), 8)
    assert found is not None
    assert set(found.columns.tolist()) == {0, 2}
    assert (len(found.z), found.z.shape[1]) == (20, 8)
