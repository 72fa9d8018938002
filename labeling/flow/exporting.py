"""Exporting: the project's items with their labels, and who or what gave them, go into a file."""

from __future__ import annotations

import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from functools import partial
from pathlib import PurePosixPath
from typing import IO, Any, BinaryIO, NamedTuple, cast

import numpy as np
from django.core.files.storage import default_storage
from django.db.models import Count, Max
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import override

from labeling import blobs, certificates, data_card, formats, pool, rulebook, suggestions, weighing
from labeling.errors import BadField, Conflict
from labeling.exports import Origin
from labeling.formats import document
from labeling.formats.packing import member
from labeling.jobs import Progress
from labeling.models import (
    LABELLING,
    Acceptance,
    Answer,
    Export,
    Item,
    Job,
    Label,
    Project,
    Rule,
    Snapshot,
    Status,
    User,
)
from labeling.models import Origin as AnswerOrigin

BATCH = 5_000  # items looked up at a time
STATUS = {
    Origin.PERSON: Status.ANSWERED,
    Origin.ACCEPTED: Status.ACCEPTED,
    Origin.IMPORTED: Status.IMPORTED,
}
ORIGIN = {str(status): origin for origin, status in STATUS.items()}
ITEM_FIELDS = ("pk", "row", "text", "image", "name", "external_id", "metadata", "created_at", "status", "label_id")


@dataclass(frozen=True)
class Options:
    """What to write."""

    format: str
    origins: tuple[str, ...] = tuple(STATUS)  # which labels
    min_confidence: float = 0.0  # of accepted labels and suggestions, in [0, 1]
    pseudonyms: bool = False  # "annotator-1" instead of names
    include_open: bool = False  # items without a label too
    include_suggestions: bool = False  # what the newest snapshot says of open items too
    embed_images: bool | None = None  # None: as the format's readers expect
    data_card: bool = False  # a zip of the data, its card and its certificates, instead of the data alone

    @classmethod
    def of(cls, arguments: Mapping[str, Any]) -> Options:
        """From a job's arguments; raises BadField."""
        options = cls(**{name: value for name, value in arguments.items() if name in cls.__dataclass_fields__})
        if options.format not in formats.WRITABLE:
            raise BadField("format", _("Choose one of %(known)s.") % {"known": ", ".join(formats.WRITABLE)})
        if unknown := set(options.origins) - set(STATUS):
            raise BadField("origins", _("There is no origin “%(name)s”.") % {"name": sorted(unknown)[0]})
        return options


class Given(NamedTuple):
    """Who gave an item its label, when and how."""

    annotator: str
    labeled_at: str
    seconds: float | None = None
    confidence: float | None = None
    snapshot: int | None = None


@dataclass
class Names:
    """What people are called in one file: by user name, or by a pseudonym in order of appearance."""

    pseudonyms: bool
    known: dict[int, str] = field(default_factory=dict)
    user_names: dict[int, str] = field(default_factory=dict)

    def of(self, user_id: int | None) -> str:
        """The name of this person; "" for nobody."""
        if user_id is None:
            return ""
        if user_id not in self.known:
            self.known[user_id] = f"annotator-{len(self.known) + 1}" if self.pseudonyms else self._user_name(user_id)
        return self.known[user_id]

    def _user_name(self, user_id: int) -> str:
        return User.objects.values_list("username", flat=True).get(pk=user_id)


def run(job: Job, progress: Progress) -> None:
    """Write the job's export into file storage. A second run writes it anew; a file is there whole or not at all."""
    options = Options.of(job.arguments)
    export = Export.objects.select_related("project").get(job=job)
    path = f"projects/{export.project_id}/exports/{export.pk}/{export.name}"
    written = {"rows": 0, "size": 0}

    def writer(file: IO[bytes]) -> None:
        written["rows"] = write(export.project, options, cast(BinaryIO, file), progress)
        written["size"] = file.seek(0, 2)

    blobs.write(path, writer)
    Export.objects.filter(pk=export.pk).update(path=path, size=written["size"])
    Job.objects.filter(pk=job.pk).update(result=written)


def write(
    project: Project,
    options: Options,
    out: BinaryIO,
    progress: Callable[[int, int, str], object] | None = None,
    now: datetime | None = None,
) -> int:
    """Write the project to a file, in flat memory however many items there are; returns how many rows it has."""
    found = rows(project, options, progress or (lambda done, total, unit: None))
    if options.data_card:
        return _pack(project, options, found, out, now or timezone.now())
    return formats.write(options.format, found, out, embed_images=options.embed_images, title=project.name)


def _pack(project: Project, options: Options, found: Iterator[formats.ExportRow], out: BinaryIO, now: datetime) -> int:
    """A zip of the data, its card as Markdown and as a page, and certificate.json once a certificate has ended."""
    written = data_card.Written()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        counted = written.counting(found)
        count, front = formats.pack(options.format, counted, archive, embed_images=options.embed_images)
        name = formats.packed_name(options.format)
        card = data_card.card(project, written, asdict(options), name, now)
        text = document.markdown(card, data_card.front_matter(project, written) | front)
        # A Hugging Face folder is told how to be read by its README.md.
        readme = "README.md" if options.format == "huggingface" else "data-card.md"
        archive.writestr(member(readme), text)
        archive.writestr(member("data-card.html"), document.html(card))
        if claims := data_card.decided(project):
            with archive.open(member("certificate.json"), "w", force_zip64=True) as file:
                for piece in data_card.records(claims):
                    file.write(piece)
    return count


def rows(
    project: Project, options: Options, progress: Callable[[int, int, str], object]
) -> Iterator[formats.ExportRow]:
    """The rows of an export in the items' order. `progress(done, total, "items")` is told of each batch."""
    statuses = _statuses(options)
    counted = Item.objects.filter(project=project, status__in=statuses).values_list("status").annotate(n=Count("pk"))
    total = sum(count for _status, count in counted)
    label_names = dict(Label.objects.filter(project=project).values_list("pk", "name"))
    names = Names(options.pseudonyms)
    certify = _certifier(project)
    suggest = _suggester(project, options)
    name_rules = _rule_namer(project, label_names)
    done = 0
    for items in _batches(project, statuses):
        progress(done, total, "items")
        given = _given(project, items, names)
        note_votes = _voter(project, items, names, label_names)
        wanted: dict[int, formats.ExportRow] = {}
        for item in items:
            row = _row(item, label_names, given.get(item["pk"]))
            certify(row, item)
            note_votes(row, item)
            if not row.origin:
                suggest(row, item["row"], label_names)
            if _wanted(row, options):
                wanted[item["row"]] = row
        name_rules(wanted)
        yield from wanted.values()
        done += len(items)
    progress(done, max(total, done), "items")


def _voter(
    project: Project, items: Sequence[Mapping[str, Any]], names: Names, label_names: Mapping[int, str]
) -> Callable[[formats.ExportRow, Mapping[str, Any]], None]:
    """What notes on a row what each of several people answered, and how that became its label."""
    if project.overlap == 1:
        return lambda row, item: None
    ids = [item["pk"] for item in items]
    said = weighing.sheet(weighing.current(project).filter(item__in=ids)).votes
    verdicts = weighing.verdicts(project, ids)

    def note(row: formats.ExportRow, item: Mapping[str, Any]) -> None:
        verdict = verdicts.get(item["pk"])
        if verdict is None:
            return
        row.answers = verdict.answers
        row.votes = {names.of(vote.person): label_names[vote.label_id] for vote in said.get(item["pk"], ())}
        if row.origin == Origin.PERSON:
            row.agreement = round(verdict.equal / verdict.answers, 4) if verdict.answers else None
            row.consensus = verdict.method

    return note


def _statuses(options: Options) -> list[str]:
    statuses = [str(STATUS[origin]) for origin in options.origins]
    return [*statuses, str(Status.OPEN)] if options.include_open or options.include_suggestions else statuses


def _batches(project: Project, statuses: Sequence[str]) -> Iterator[list[dict[str, Any]]]:
    """The items in these states by row, so many at a time; each batch is looked up after the one before is written."""
    wanted = Item.objects.filter(project=project, status__in=statuses).order_by("row")
    last = Item.objects.filter(project=project).aggregate(last=Max("row"))["last"]
    # By spans of rows: "the next 5,000 after this row" makes the database sort all that is left, each time.
    for first in range(0, -1 if last is None else last + 1, BATCH):
        items = list(wanted.filter(row__gte=first, row__lt=first + BATCH).values(*ITEM_FIELDS))
        if items:
            yield items


def _given(project: Project, items: Sequence[Mapping[str, Any]], names: Names) -> dict[int, Given]:
    """Who gave these items their labels: a person's newest answer, else the file, else an acceptance."""
    between = {"project": project, "withdrawn_at": None, "item__row__range": (items[0]["row"], items[-1]["row"])}
    by_status: dict[str, dict[int, Given]] = defaultdict(dict)
    label_of = {item["pk"]: item["label_id"] for item in items}
    answers = Answer.objects.filter(**between, purpose__in=LABELLING).order_by("pk")
    for item_id, origin, author_id, created_at, seconds, label_id in answers.values_list(
        "item_id", "origin", "author_id", "created_at", "seconds", "label_id"
    ):
        status = Status.ANSWERED if origin == AnswerOrigin.PERSON else Status.IMPORTED
        # Of several people's answers, the newest of those that gave the item the label it has.
        if label_id == label_of.get(item_id) or item_id not in by_status[status]:
            by_status[status][item_id] = Given(names.of(author_id), created_at.isoformat(), seconds)
    accepted = Acceptance.objects.filter(**between).values_list(
        "item_id", "confidence", "batch__accepted_by_id", "batch__created_at", "batch__snapshot__number"
    )
    for item_id, confidence, user_id, created_at, number in accepted:
        by_status[Status.ACCEPTED][item_id] = Given(
            names.of(user_id), created_at.isoformat(), None, round(confidence, 6), number
        )
    return {
        item["pk"]: by_status[item["status"]][item["pk"]] for item in items if item["pk"] in by_status[item["status"]]
    }


def _row(item: Mapping[str, Any], label_names: Mapping[int, str], given: Given | None) -> formats.ExportRow:
    row = formats.ExportRow(
        id=item["pk"],
        external_id=item["external_id"],
        created_at=item["created_at"].isoformat(),
        metadata=item["metadata"],
    )
    if item["image"]:
        row.open_image = partial(_image, item["image"], item["pk"])
        # The type is in the stored name; the name that the file came with may lie.
        row.image_name = str(
            PurePosixPath(item["name"] or item["image"]).with_suffix(PurePosixPath(item["image"]).suffix)
        )
    else:
        row.text = item["text"]
    if item["label_id"] is not None:
        row.label = label_names[item["label_id"]]
        row.origin = ORIGIN[item["status"]]
    if given is not None and row.origin:
        row.annotator, row.labeled_at, row.seconds, row.confidence, row.snapshot = given
    return row


def _certifier(project: Project) -> Callable[[formats.ExportRow, Mapping[str, Any]], None]:
    """What notes on a row whose certificate's set it belongs to: as it was certified, or answered by a person since."""
    numbers = np.zeros(project.tally.items, dtype=np.int32)
    frozen_ids = np.full(project.tally.items, -1, dtype=np.int64)
    for number, certificate in sorted(certificates.marks_of_batches(project).items()):
        frozen = certificates.frozen(certificate)[: certificate.accepted]
        numbers[frozen.rows], frozen_ids[frozen.rows] = number, frozen.label_ids

    def certify(row: formats.ExportRow, item: Mapping[str, Any]) -> None:
        place = item["row"]
        if place >= len(numbers) or not numbers[place]:
            return
        if row.origin == Origin.PERSON or (row.origin == Origin.ACCEPTED and item["label_id"] == frozen_ids[place]):
            row.certificate = int(numbers[place])

    return certify


def _suggester(project: Project, options: Options) -> Callable[[formats.ExportRow, int, Mapping[int, str]], None]:
    """What fills an open item's row with what the newest snapshot says of it, if that is wanted and there is one."""
    snapshot = suggestions.latest(project) if options.include_suggestions else None
    if snapshot is None or not suggestions.has_arrays(snapshot):
        return lambda row, number, label_names: None
    said = pool.read_predictions(project.pk, snapshot.number)
    # As the arrays can tell it: float16 keeps 0.71973 of what the page shows as 0.72.
    least = float(np.float16(options.min_confidence))
    offered = set(Label.objects.filter(project=project, archived_at=None).values_list("pk", flat=True))

    def suggest(row: formats.ExportRow, number: int, label_names: Mapping[int, str]) -> None:
        if number >= len(said) or int(said.label_id[number]) not in offered:
            return
        confidence = float(said.confidence[number])
        if confidence >= least:
            row.label = label_names[int(said.label_id[number])]
            row.origin, row.confidence, row.snapshot = formats.SUGGESTION, round(confidence, 4), snapshot.number

    return suggest


def _rule_namer(project: Project, label_names: Mapping[int, str]) -> Callable[[Mapping[int, formats.ExportRow]], None]:
    """What notes on rows, given by their items' rows, which rules spoke for the label that a snapshot suggested.

    As the rules stood then: one that has been changed or deleted since is not named.
    """
    if not Rule.objects.filter(project=project, deleted_at=None).exists():
        return lambda placed: None
    snapshots: dict[int, Snapshot | None] = {}

    def name_rules(placed: Mapping[int, formats.ExportRow]) -> None:
        by_snapshot: dict[int, list[int]] = defaultdict(list)
        for place, row in placed.items():
            if row.snapshot is not None:
                by_snapshot[row.snapshot].append(place)
        for number, places in by_snapshot.items():
            if number not in snapshots:
                snapshots[number] = Snapshot.objects.filter(project=project, number=number).first()
            with override("en"):  # files that go out speak English
                spoken = rulebook.spoken(snapshots[number], places)
            for place, words in spoken.items():
                row = placed[place]
                row.rules = [rulebook.named(word) for word in words if label_names.get(word["label"]) == row.label]

    return name_rules


def _wanted(row: formats.ExportRow, options: Options) -> bool:
    if row.origin == Origin.ACCEPTED:
        return (row.confidence or 0.0) >= options.min_confidence
    return bool(row.origin) or options.include_open


def _image(path: str, item_id: int) -> BinaryIO:
    try:
        return cast(BinaryIO, default_storage.open(path))
    except FileNotFoundError as error:
        raise Conflict(_("The image of item %(id)s is no longer in storage.") % {"id": item_id}) from error
