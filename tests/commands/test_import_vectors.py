"""Vectors of one's own from the command line: by order, row or external id; what is wrong is said and kept out."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from labeling import encoders, pool
from labeling.models import Item, Job, Project
from tests import make

pytestmark = pytest.mark.django_db
MINE = np.random.default_rng(0).standard_normal((3, 4))


@pytest.fixture
def project() -> Project:
    made = make.project(texts=["one", "two", "three"])
    for item, external_id in zip(Item.objects.filter(project=made).order_by("row"), "abc", strict=True):
        Item.objects.filter(pk=item.pk).update(external_id=external_id)
    return made


def bring(project: Project, path: Path, **arrays: Any) -> dict[str, Any]:
    if path.suffix == ".npy":
        np.save(path, arrays["vectors"])
    else:
        np.savez(path, allow_pickle=True, **arrays)
    out = io.StringIO()
    call_command("import_vectors", project.name, path, stdout=out)
    return dict(json.loads(out.getvalue()))


def stored(project: Project) -> pool.Vectors:
    return pool.vectors(project.pk, "imported", 4, 3)


def test_in_the_order_of_the_items(project: Project, tmp_path: Path) -> None:
    assert bring(project, tmp_path / "v.npy", vectors=MINE) == {"project": project.pk, "vectors": 3, "items": 3}
    assert np.allclose(stored(project).values, encoders.unit(MINE), atol=1e-3)
    assert Project.objects.get(pk=project.pk).encoder == "imported"
    assert Job.objects.filter(project=project, kind=Job.Kind.EMBED, state=Job.State.QUEUED).count() == 1


def test_by_external_id_in_any_order(project: Project, tmp_path: Path) -> None:
    bring(project, tmp_path / "v.npz", vectors=MINE, external_ids=np.array(["c", "a", "b"]))
    assert np.allclose(stored(project).values[[2, 0, 1]], encoders.unit(MINE), atol=1e-3)


def test_by_row_and_only_some(project: Project, tmp_path: Path) -> None:
    done = bring(project, tmp_path / "v.npz", vectors=MINE[:2], rows=np.array([2, 0]))
    assert done["items"] == 2
    assert stored(project).present.tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"vectors": MINE, "external_ids": np.array(["a", "b", "z"])}, "No item has the external id “z”"),
        ({"vectors": MINE, "external_ids": np.array(["a", "b", "a"])}, "“a” is there twice"),
        ({"vectors": MINE, "external_ids": np.array(["a"])}, "3 vectors and 1 external_ids"),
        ({"vectors": MINE, "rows": np.array([0.5, 1, 2])}, "must be whole numbers"),
        ({"vectors": MINE, "rows": np.array([0, 1, 3])}, "no item in row 3"),
        ({"numbers": MINE}, "must hold numbers in a table"),
        ({"vectors": MINE[0]}, "must hold numbers in a table"),
        ({"vectors": np.array([["a"]])}, "must hold numbers in a table"),
        ({"vectors": np.array([[{}]], dtype=object)}, "no file of NumPy arrays"),
        ({"vectors": np.ones((4, 4))}, "no item in row 3"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_stored(
    project: Project, tmp_path: Path, arrays: dict[str, np.ndarray], says: str
) -> None:
    with pytest.raises(CommandError, match=says):
        bring(project, tmp_path / "v.npz", **arrays)
    assert pool.stored_dimension(project.pk, "imported") is None
    assert Project.objects.get(pk=project.pk).encoder == ""


def test_a_file_of_another_kind_is_refused(project: Project, tmp_path: Path) -> None:
    path = tmp_path / "v.npy"
    for content in (b"", b"text,label\n", b"PK\x03\x04 cut short"):
        path.write_bytes(content)
        with pytest.raises(CommandError, match="no file of NumPy arrays"):
            call_command("import_vectors", str(project.pk), path)
    with pytest.raises(CommandError, match="There is no file"):
        call_command("import_vectors", str(project.pk), tmp_path / "nowhere.npy")
