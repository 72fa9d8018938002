"""The demo project: real digits through the product's own importing, ready to label, made once."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from django.core.files.storage import default_storage
from django.core.management import call_command
from django.core.management.base import CommandError
from PIL import Image
from sklearn.datasets import load_digits

from labeling.models import Item, Job, Label, Member, Project, Reference, Role, User

pytestmark = pytest.mark.django_db


@pytest.fixture
def admin() -> User:
    return User.objects.create_superuser("admin", password="correct horse battery")


def make(**options: object) -> str:
    said = io.StringIO()
    call_command("create_demo", stdout=said, **options)
    return said.getvalue()


def test_the_digits_are_made_once_unlabelled_with_hidden_references(admin: User) -> None:
    make()
    project = Project.objects.get(name="Handwritten digits")
    assert project.tally.items == project.tally.open == 1797
    assert [label.name for label in Label.objects.filter(project=project)][:3] == ["zero", "one", "two"]
    assert {label.hotkey for label in Label.objects.filter(project=project)} == set("0123456789")
    assert Member.objects.get(project=project, user=admin).role == Role.ADMIN
    digits = load_digits()
    for reference in Reference.objects.filter(item__project=project).select_related("item", "label")[::137]:
        number = int(Path(reference.item.name).stem)
        assert reference.label.position == digits.target[number]
        with default_storage.open(reference.item.image) as file:
            ink = np.asarray(Image.open(file))
        np.testing.assert_allclose(ink / 255 * 16, digits.images[number], atol=0.04)
    # Making it again changes nothing.
    assert "is there already" in make()
    assert Project.objects.count() == 1
    assert Item.objects.count() == 1797


def test_a_file_of_ones_own_is_imported_by_the_workers_with_its_labels_hidden(admin: User, tmp_path: Path) -> None:
    file = tmp_path / "mails.csv"
    file.write_text("text,label\nWhere is my card?,card\nI lost my phone.,phone\n")
    make(file=file)
    job = Job.objects.get(project__name="mails")
    assert (job.kind, job.state) == (Job.Kind.IMPORT, Job.State.QUEUED)
    assert job.arguments["labels"] == "reference"
    assert job.project.modality == Project.Modality.TEXT


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="createsuperuser"):
        make()
    User.objects.create_superuser("admin", password="correct horse battery")
    with pytest.raises(CommandError, match="There is no file"):
        make(file=tmp_path / "none.csv")
    empty = tmp_path / "empty.csv"
    empty.touch()
    with pytest.raises(CommandError, match=r"empty\.csv: .*empty"):
        make(file=empty)
    assert not Project.objects.exists()
