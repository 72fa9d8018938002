"""create_demo: a project to try the application on, of handwritten digits or of a file of one's own."""

from __future__ import annotations

import io
import zipfile
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from celery import current_app
from django.core.files.base import ContentFile, File
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from labeling import dispatch, formats
from labeling.errors import Refused
from labeling.flow import founding, offering, receiving
from labeling.models import Job, Project, User

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


class Command(BaseCommand):
    """Makes the project once: where one of its name is there already, nothing happens.

    The file's labels become hidden references: the items are still to be labelled, and how good the labels are
    can be measured.
    """

    help = "Make a demo project: scikit-learn's handwritten digits, or a CSV, JSONL or zip of your own."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--file", type=Path, help="A CSV, TSV, JSONL, JSON, Parquet or text file, or a zip of images."
        )
        parser.add_argument("--user", default="", help="Who becomes its admin; the first superuser otherwise.")

    def handle(self, *args: Any, **options: Any) -> None:
        path: Path | None = options["file"]
        if path is not None and not path.is_file():
            raise CommandError(f"There is no file {path}. Give --file the path of a CSV, JSONL or zip file.")
        name = path.stem[:200] if path else _("Handwritten digits")
        creator = _creator(options["user"])
        if Project.objects.filter(name=name, created_by=creator).exists():
            self.stdout.write(f"The project “{name}” is there already.")
            return
        try:
            job = _begin_file(path, name, creator) if path else _begin_digits(name, creator)
        except Refused as refusal:
            raise CommandError(f"{path.name if path else name}: {refusal}") from refusal
        if path is None:
            # Small enough to import before the first page is opened; workers do the rest.
            current_app.loader.import_default_modules()
            current_app.tasks[dispatch.TASK](job.pk)
            job.refresh_from_db()
            if job.state == Job.State.FAILED:
                raise CommandError(f"{name}: {job.error}")
        self.stdout.write(f"Made the project “{name}”.")


def _creator(username: str) -> User:
    found = User.objects.filter(username=username) if username else User.objects.filter(is_superuser=True)
    creator = found.order_by("pk").first()
    if creator is None:
        raise CommandError("There is nobody to own the project. Make an admin first: manage.py createsuperuser")
    return creator


@transaction.atomic
def _begin_digits(name: str, creator: User) -> Job:
    project = founding.found(
        creator=creator,
        name=name,
        modality=Project.Modality.IMAGE,
        description=_("1,797 handwritten digits of 43 people, each 8 by 8 pixels."),
        guidelines=_("Which digit did the person mean to write?"),
    )
    # The key of a digit is the digit itself.
    offering.add(project=project, labels=[offering.NewLabel(each, hotkey=str(key)) for key, each in enumerate(NAMES)])
    return _import(project, ContentFile(digits_archive(), name="digits.zip"), creator)


@transaction.atomic
def _begin_file(path: Path, name: str, creator: User) -> Job:
    modality = formats.sniff(path, path.name).modality
    project = founding.found(creator=creator, name=name, modality=modality)
    with path.open("rb") as file:
        return _import(project, File(file, name=path.name), creator)


def _import(project: Project, file: File, creator: User) -> Job:
    upload = receiving.keep(project=project, file=file, by=creator, now=timezone.now())
    choices = receiving.Choices(formats.Given(), labels="reference")
    return receiving.begin(project=project, upload=upload, choices=choices, by=creator)


def digits_archive() -> bytes:
    """scikit-learn's digits as a zip of grey PNG files of 8 by 8 pixels, ink bright, a folder for each class."""
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        for number, (ink, digit) in enumerate(zip(digits.images, digits.target, strict=True)):
            picture = io.BytesIO()
            Image.fromarray((ink * (255 / 16)).round().astype("uint8")).save(picture, "PNG")  # ink is 0 to 16
            file.writestr(f"{NAMES[digit]}/{number:04}.png", picture.getvalue())
    return archive.getvalue()
