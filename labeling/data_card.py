"""Data card: what an exported file holds, how its labels came about, and what was measured of how right they are.

It speaks English whatever the language of whoever exports, like all that is written for readers elsewhere. It states
no share that was not measured: where nothing was, it says so.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.utils.translation import override

from labeling import annotators, certificates, exports, quality, rulebook, suggestions
from labeling.formats import SUGGESTION, ExportRow
from labeling.formats.document import Block, Code, Document, Points, Quote, Section, Table
from labeling.models import Certificate, Label, Project, Snapshot, Status
from metalearning.certificate_record import METHOD

OPEN = ""  # the origin of a row without a label
ORIGINS = {
    exports.Origin.PERSON: (Status.ANSWERED, "answered by a person"),
    exports.Origin.ACCEPTED: (Status.ACCEPTED, "suggested by the model and accepted by a person"),
    exports.Origin.IMPORTED: (Status.IMPORTED, "came with an imported file"),
    SUGGESTION: (Status.OPEN, "suggested by the model, checked by nobody"),
    OPEN: (Status.OPEN, "no label yet"),
}
MEASURED = {
    "reference": "compared with reference labels that came with the file and were kept hidden",
    "gold": "people's answers to items whose label was known, mixed unmarked into their questions",
    "random": "earlier suggestions for items that people were then asked at random",
}
NOT_MEASURED = "not measured"
FEW_ROWS = 10  # of a label, below which the card warns
SIZES = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)
SIZE_NAMES = ("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M")
LABEL_STUDIO = "label_studio"
# What Label Studio's tasks have room for.
OF_TASKS = frozenset([
    "id", "text", "image", "label", "origin", "confidence", "snapshot", "certificate", "rules", "annotator",
    "external_id", "labeled_at", "seconds", "created_at", "metadata",
])  # fmt: skip


@dataclass
class Written:
    """What went into a file, counted as it goes by."""

    rows: int = 0
    labels: Counter[tuple[str, str]] = field(default_factory=Counter)  # by label and origin
    origins: Counter[str] = field(default_factory=Counter)
    certificates: Counter[int] = field(default_factory=Counter)
    snapshots: Counter[int] = field(default_factory=Counter)  # of accepted labels and suggestions
    rules: Counter[str] = field(default_factory=Counter)  # as rows name them

    def counting(self, rows: Iterable[ExportRow]) -> Iterator[ExportRow]:
        """The same rows, counted."""
        for row in rows:
            self.rows += 1
            self.origins[row.origin] += 1
            if row.label is not None:
                self.labels[row.label, row.origin] += 1
            if row.certificate is not None:
                self.certificates[row.certificate] += 1
            if row.snapshot is not None:
                self.snapshots[row.snapshot] += 1
            self.rules.update(row.rules)
            yield row


def card(project: Project, written: Written, options: Mapping[str, Any], file: str, now: datetime) -> Document:
    """The card of an export that was just written: `options` as the export's job has them, `file` the data's name."""
    with override("en"):
        snapshot = suggestions.latest(project)
        claims = decided(project)
        sample = _newest_sample(project)
        measures = _measures(project, snapshot, sample)
        sections = [
            Section("What is in it", _contents(project, written, options, file, now)),
            Section("Labels", _labels(project, written)),
            Section("Where the labels come from, and how right they are", _origins(written, measures, claims, sample)),
            Section("Certificates", _certificates(claims, written)),
            Section("How far people agree", _agreement(project)),
            Section("Rules", _rules(project, snapshot, written)),
            Section("Model", _model(project, snapshot, written)),
            Section("Guidelines for annotators", [_written_or(project.guidelines, "None were written.")]),
            Section("Known limits", [Points(_limits(project, written, options, measures, claims))]),
            Section("Fields", _fields(options["format"])),
        ]
    about = _written_or(project.description, "No description was written.")
    return Document(f"Data card: {project.name}", [about], sections)


def _newest_sample(project: Project) -> Certificate | None:
    """The audit sample that ended last."""
    samples = Certificate.objects.filter(project=project, state=Certificate.State.MEASURED).select_related("project")
    return samples.order_by("-number").first()


def front_matter(project: Project, written: Written) -> dict[str, Any]:
    """What Hugging Face reads from a card's head, as far as it is known: neither licence nor language is claimed."""
    return {
        "pretty_name": project.name,
        "task_categories": ["image-classification" if _of_images(project) else "text-classification"],
        "size_categories": [SIZE_NAMES[sum(written.rows >= size for size in SIZES)]],
    }


def decided(project: Project) -> list[Certificate]:
    """The project's certificates that have ended, in their order; samples, which claim nothing, are no part of it."""
    found = Certificate.objects.filter(project=project, kind=Certificate.Kind.CLAIM)
    ended = found.exclude(state=Certificate.State.RUNNING).select_related("project", "snapshot")
    return list(ended.order_by("number"))


def records(claims: Iterable[Certificate]) -> Iterator[bytes]:
    """certificate.json, piece by piece: the record of each certificate that has ended, passed or not.

    All of them, for the error that they share was divided among them. One after the other: a record names every item.
    """
    yield b'{"format": "certificates/1", "certificates": ['
    for place, certificate in enumerate(claims):
        yield (b",\n" if place else b"\n") + json.dumps(certificates.record(certificate), ensure_ascii=False).encode()
    yield b"\n]}\n"


def _contents(project: Project, written: Written, options: Mapping[str, Any], file: str, now: datetime) -> list[Block]:
    of_what = "images" if _of_images(project) else "texts"
    rows = [
        ("File", Code(file)),
        ("Rows", f"{written.rows:,}, {of_what}"),
        ("Kind of label", project.get_kind_display()),
        ("Written", f"{now:%Y-%m-%d %H:%M} UTC"),
        ("Items in the project", f"{project.tally.items:,}"),
    ]
    return [Table(("", ""), rows), *_chosen(options)]


def _chosen(options: Mapping[str, Any]) -> list[Block]:
    """What was left out or put in on request."""
    said = []
    origins = options.get("origins", ORIGINS)
    left_out = [name for name, _title in exports.Origin.CHOICES if name not in origins]
    if left_out:
        said.append(f"Labels of these origins were left out: {', '.join(left_out)}.")
    if least := options.get("min_confidence"):
        said.append(f"Accepted labels and suggestions below a confidence of {least:g} were left out.")
    if options.get("pseudonyms"):
        said.append("People's names are replaced by pseudonyms, the same throughout the file.")
    return [Points(said)] if said else []


def _labels(project: Project, written: Written) -> list[Block]:
    known = list(Label.objects.filter(project=project).order_by("position"))
    origins = [origin for origin in ORIGINS if origin and written.origins[origin]]
    named = {name for name, _origin in written.labels}
    rows = [
        (
            label.name + (" (no longer offered)" if label.archived_at else ""),
            label.description or "–",
            *(f"{written.labels[label.name, origin]:,}" for origin in origins),
            f"{sum(written.labels[label.name, origin] for origin in origins):,}",
        )
        for label in known
        if label.archived_at is None or label.name in named
    ]
    return [Table(("label", "description", *origins, "rows"), rows)] if rows else ["The project has no labels yet."]


def _measures(project: Project, snapshot: Snapshot | None, sample: Certificate | None) -> dict[str, list[str]]:
    """By origin, in words, every measure of how right its labels are; estimates are none."""
    by_status: dict[str, list[str]] = {}
    for row in quality.origins(project, snapshot):
        told = [_measured(one) for one in row["measures"] if one["how"] in MEASURED]
        by_status[row["origin"]] = told
    if sample:
        for name, one in certificates.measured(sample)["strata"].items():
            if one["right"]:
                drawn = f"{one['audits']:,} of the {one['size']:,} that there were{_on(sample)}"
                said = f"{_share(one['right'])}: {drawn}, drawn at random and labelled blind by people"
                by_status.setdefault(name, []).insert(0, said)
    return {origin: by_status.get(status.value, []) if origin else [] for origin, (status, _words) in ORIGINS.items()}


def _on(certificate: Certificate) -> str:
    return f" on {certificate.decided_at:%Y-%m-%d}" if certificate.decided_at else ""


def _measured(one: Mapping[str, Any]) -> str:
    return f"{_share(one)}: {MEASURED[one['how']]}, {one['count']:,} cases"


def _share(one: Mapping[str, Any]) -> str:
    return f"{one['estimate']:.1%} right (95 % interval {one['low']:.1%} to {one['high']:.1%})"


def _origins(
    written: Written, measures: Mapping[str, list[str]], claims: list[Certificate], sample: Certificate | None
) -> list[Block]:
    rows = [
        (origin or "(empty)", words, f"{written.origins[origin]:,}", _how_right(origin, measures[origin]))
        for origin, (_status, words) in ORIGINS.items()
        if written.origins[origin]
    ]
    if not rows:
        return ["The file has no rows."]
    blocks: list[Block] = [Table(("origin", "which means", "rows", "how right"), rows)]
    named = [claim for claim in claims if written.certificates[claim.number]]
    blocks += [
        f"{written.certificates[claim.number]:,} rows belong to the set of certificate {claim.number}, in which "
        f"{_bound(claim)}"
        for claim in named
    ]
    blocks += _over_all(sample)
    if any(measures[origin] for origin in written.origins):
        blocks.append("Measures are of the project's labels of that origin when they were taken, not of these rows.")
    elif not named:
        blocks.append("How right these labels are was not measured: an audit sample or a certificate would tell.")
    return blocks


def _over_all(sample: Certificate | None) -> list[Block]:
    whole = certificates.measured(sample)["right"] if sample else None
    if sample is None or whole is None:
        return []
    over = " and ".join(_stratum(name) for name, size in sample.strata if size)
    return [
        f"Over {over} together: {_share(whole)}, from a random sample labelled blind{_on(sample)}, each origin "
        "weighing as many items as it had then. Labels may have changed since."
    ]


def _stratum(name: str) -> str:
    return {
        Status.ANSWERED: "people's answers",
        Status.ACCEPTED: "accepted suggestions",
        Status.IMPORTED: "imported labels",
        Status.OPEN: "suggestions for open items",
    }[Status(name)]


def _how_right(origin: str, measures: list[str]) -> str:
    return "; ".join(measures) if measures else NOT_MEASURED if origin else "–"


def _bound(claim: Certificate) -> str:
    return (
        f"at most {claim.eps:.1%} of {claim.accepted:,} labels are wrong, with a confidence of at least "
        f"{1 - claim.delta:.0%}."
    )


def _certificates(claims: list[Certificate], written: Written) -> list[Block]:
    if not claims:
        return ["None was decided when this file was written."]
    blocks: list[Block] = [Quote(_certificate(claim, written)) for claim in claims]
    return [
        *blocks,
        f"Method. {METHOD}",
        "Anyone can recompute these claims from the files alone, without the application's database; give the zip or "
        "the folder it was unpacked to. The command ends with an error where a record does not hold, or where a row "
        "that names a certificate is not in its set with the label that was frozen.",
        Code("python -m metalearning verify FOLDER"),
    ]


def _certificate(claim: Certificate, written: Written) -> str:
    told = certificates.describe(claim)
    audits = told["audits"]
    outcome = {
        Certificate.State.PASSED: f"Passed: {_bound(claim)}",
        Certificate.State.FAILED: "Failed: nothing is certified.",
        Certificate.State.GIVEN_UP: "Given up: nothing is certified.",
    }[Certificate.State(claim.state)]
    lines = [
        f"Certificate {claim.number}. {outcome}",
        f"Claimed: at most {claim.eps:.1%} wrong, confidence {1 - claim.delta:.0%} over all attempts of the project "
        f"(attempt {claim.attempt}, level {told['level']:.4g}), of the {claim.items:,} surest suggestions of "
        f"snapshot {told['snapshot']}. Decided {claim.decided_at:%Y-%m-%d}."
        if claim.decided_at
        else "",
        f"Audits: {audits['answered']:,} suggestions drawn at random and labelled by people who did not see them; "
        f"{audits['wrong']:,} were wrong"
        + (
            f", counting {audits['unanswered']:,} of which nobody could say what they are."
            if audits["unanswered"]
            else "."
        ),
        _auditors(told),
        _rows_of(claim, written),
    ]
    return "\n".join(line for line in lines if line)


def _rows_of(claim: Certificate, written: Written) -> str:
    rows = written.certificates[claim.number]
    if rows or not claim.accepted:
        return f"Rows of this file in its set: {rows:,}." if rows else ""
    return "No row of this file names it: its set does not stand accepted, or was left out."


def _auditors(told: Mapping[str, Any]) -> str:
    return str(told["human_error"]["words"]) + (
        " Whoever asked for it audited it too: there was nobody else." if told["self_audited"] else ""
    )


def _agreement(project: Project) -> list[Block]:
    told = annotators.together(project)
    if not told["items"] and project.overlap == 1:
        return ["Not measured: each item was asked of one person."]
    if not told["items"]:
        return ["Not measured: no item has answers of several people yet."]
    rows = [
        (name, f"{one['value']:{form}}", f"{one['low']:{form}} to {one['high']:{form}}")
        for name, one, form in (
            ("answers that are equal, of pairs", told["percent"], ".1%"),
            ("Krippendorff's alpha (1: always the same, 0: as by chance)", told["alpha"], ".2f"),
        )
        if one
    ]
    how = {Project.Consensus.SKILL: "weighed by how well each person answers (Dawid-Skene)",
           Project.Consensus.MAJORITY: "by majority"}[Project.Consensus(project.consensus)]  # fmt: skip
    return [
        f"{told['people']:,} people gave answers; {told['items']:,} items were answered by several. "
        + (
            f"Their answers became one label {how}, unless a reviewer decided."
            if project.overlap > 1
            else "Each item was asked of one person; of several answers the last is the label."
        ),
        Table(("measure", "value", "95 % interval"), rows),
    ]


def _rules(project: Project, snapshot: Snapshot | None, written: Written) -> list[Block]:
    took_part = {fact["id"]: fact for fact in (snapshot.facts.get("rules") if snapshot else None) or []}
    rules = [rule for rule in rulebook.kept(project) if rule.pk in took_part]
    if not rules:
        return ["The model's newest snapshot heard no rules."]
    spoke = Counter({name.split(" ", 1)[0]: count for name, count in written.rules.items()})
    rows = [(f"#{rule.pk}", rulebook.says(rule), rule.label.name, f"{spoke[f'#{rule.pk}']:,}") for rule in rules]
    return [
        "They are evidence beside the model, never answers: how far each is heard is learned from people's answers.",
        Table(("rule", "speaks of items that", "for the label", "rows it spoke for"), rows),
    ]


def _model(project: Project, snapshot: Snapshot | None, written: Written) -> list[Block]:
    if snapshot is None:
        return ["No model took part."]
    facts = snapshot.facts
    rows = [
        ("Snapshot in use", f"{snapshot.number}, {snapshot.created_at:%Y-%m-%d}, from {snapshot.answers:,} answers"),
        ("Encoder", facts.get("encoder") or "not noted"),
        ("Begins with", facts.get("checkpoint") or "not noted"),
        ("Adapts with", _adapts_with(facts)),
        ("Snapshots behind labels of this file", ", ".join(map(str, sorted(written.snapshots))) or "none"),
    ]
    return [Table(("", ""), rows)]


def _adapts_with(facts: Mapping[str, Any]) -> str:
    if facts.get("learner") == "lr":
        return "logistic regression on the items' vectors"
    parts = ["label names and answers, by prototypes and regressions on the items' vectors"]
    if facts.get("neighbours"):
        parts.append("what the nearest items say")
    voices = [name for name, weight in facts.get("voices", {}).items() if weight]
    parts += [{"rules": "rules", "encoder": "an encoder tuned to the answers"}.get(name, name) for name in voices]
    return "; ".join(parts)


def _limits(
    project: Project,
    written: Written,
    options: Mapping[str, Any],
    measures: Mapping[str, list[str]],
    claims: list[Certificate],
) -> list[str]:
    said = [
        "Which items people were asked was mostly chosen by how unsure the model was: their answers are no random "
        "sample of the items.",
        "“confidence” is what the model thought of its own label: an estimate, no measurement.",
    ]
    unmeasured = [origin for origin in ORIGINS if origin and written.origins[origin] and not measures[origin]]
    if unmeasured:
        names = ", ".join(unmeasured)
        said.append(
            f"How right labels of these origins are was not measured, but for what a certificate says: {names}."
        )
    if alone := written.origins[SUGGESTION]:
        said.append(
            f"{alone:,} labels are the model's alone (origin “suggestion”): nobody has said that they are right."
        )
    if claims:
        said.append(
            "“Wrong” in a certificate means: a person who labelled the item blind said otherwise. People err too."
        )
    if any(claim.self_audited for claim in claims):
        said.append("A certificate was audited by the person who asked for it.")
    if described := [label.name for label in project.labels.filter(archived_at=None, description="")]:
        said.append(f"{len(described):,} labels have no description.")
    if few := _with_few_rows(project, written):
        said.append(f"Labels with fewer than {FEW_ROWS} rows: {', '.join(few)}.")
    if options.get("pseudonyms"):
        said.append("Pseudonyms hide who answered, not what the items themselves say of people.")
    said.append("Licence, language, and how the items were collected are not known to the application.")
    return said


def _with_few_rows(project: Project, written: Written) -> list[str]:
    counts: Counter[str] = Counter()
    for (name, _origin), count in written.labels.items():
        counts[name] += count
    offered = project.labels.filter(archived_at=None).values_list("name", flat=True)
    return [f"{name} ({counts[name]})" for name in offered if counts[name] < FEW_ROWS]


def _fields(format: str) -> list[Block]:
    written = [one for one in exports.COLUMNS if format != LABEL_STUDIO or one[0] in OF_TASKS]
    table = Table(("field", "is"), [(Code(name), str(meaning)) for name, meaning in written])
    if format == LABEL_STUDIO:
        return [
            "A task has its item, “external_id” and “metadata” under “data”, its label under “annotations” (a "
            "suggestion under “predictions”), and all else under “meta”.",
            table,
        ]
    return [table]


def _written_or(text: str, otherwise: str) -> Block:
    return Quote(text.strip()) if text.strip() else otherwise


def _of_images(project: Project) -> bool:
    return project.modality == Project.Modality.IMAGE
