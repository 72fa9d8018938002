"""Embedding: items become vectors, chunk by chunk, so that the learner can tell which are alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from django.conf import settings
from django.utils.translation import gettext as _
from jaxtyping import Float, Int

from labeling import encoders, naming, pool, tunings
from labeling.contents import content
from labeling.encoders import Encoder
from labeling.encoders.base import States, Tunable
from labeling.errors import BadField
from labeling.models import Item, Job, Label, Project, Tally

Progress = Callable[[int, int, str], object]
SLICE = {Project.Modality.TEXT: 512, Project.Modality.IMAGE: 64}  # items read and encoded at once
SAMPLE_IMAGES = 60
SAVE_SECONDS = 10.0  # at most so much work is lost when a worker is killed


def run(job: Job, progress: Progress) -> None:
    """Give every item of the project that has none its vector, and the label names theirs.

    The encoder is chosen at the first embedding. May be run again at any time: what is there is not made again.
    Raises UnknownEncoder or EncoderUnavailable.
    """
    project = job.project
    count = Tally.objects.get(project=project).items
    if count == 0:
        return
    settle_encoder(project)
    embedded = 0
    if project.encoder != encoders.IMPORTED:
        encoder = encoders.get(project.encoder)
        naming.vectors(project, list(Label.objects.filter(project=project, archived_at=None)))
        embedded = _embed_missing(project, encoder, count, progress)
    result = {"encoder": project.encoder, "embedded": embedded, "without": _without(project, count)}
    Job.objects.filter(pk=job.pk).update(result=result)


def settle_encoder(project: Project) -> None:
    """Choose the project's encoder by a sample of its items, unless it or the installation names one."""
    if not project.encoder:
        name = _installed_choice(project)
        if name == "auto":
            name = encoders.choose(_sample(project), project.modality)
        # Two workers that choose at once must go on with the same one.
        Project.objects.filter(pk=project.pk, encoder="").update(encoder=name)
        project.refresh_from_db(fields=["encoder"])
    encoders.check(project.encoder, project.modality)


def embed_chunk(
    project: Project, encoder: Encoder, chunk: int, count: int, tell: Callable[[int], object] = lambda done: None
) -> int:
    """Encode the items of one chunk that have no vector yet; returns how many. Harmless to run twice, or at once.

    `count` is how many items the project has. What is done is stored every ten seconds and when `tell`, which is
    told how many of the chunk are done so far, raises Cancelled.
    """
    rows = pool.rows_of(chunk, count)
    vectors = _stored(project, encoder, chunk, rows)
    keeping = _kept_states(project, chunk, count) if isinstance(encoder, Tunable) else None
    missing = rows.start + np.flatnonzero(np.isnan(vectors[:, 0]))
    done, saved_at = 0, time.monotonic()
    try:
        for some, items in _by_length(project, missing):
            vectors[some - rows.start] = _encoded(encoder, items, some - rows.start, keeping)
            done += len(items)
            if time.monotonic() - saved_at > SAVE_SECONDS:
                pool.write_chunk(project.pk, encoder.name, chunk, vectors)
                saved_at = time.monotonic()
            tell(done)
    finally:
        if done:
            pool.write_chunk(project.pk, encoder.name, chunk, vectors)
            if keeping is not None:
                tunings.write_states(project.pk, encoder.name, chunk, tunings.within_limit(rows.start, keeping))
    return done


def bring(*, project: Project, rows: Int[np.ndarray, " n"], vectors: Float[np.ndarray, "n dim"]) -> None:
    """Store vectors that the user made elsewhere, for these rows, in place of any encoder's.

    They are brought to length 1. Raises BadField for rows that the project does not have, for vectors with NaN,
    infinity or nothing but zeros, and for another dimension than that of the vectors brought before.
    """
    count = Tally.objects.get(project=project).items
    _refuse_bad(project, rows, vectors, count)
    for chunk in np.unique(rows // pool.CHUNK):
        of_chunk = rows // pool.CHUNK == chunk
        span = pool.rows_of(int(chunk), count)
        kept = pool.read_chunk(project.pk, encoders.IMPORTED, int(chunk))
        whole = _padded(kept, len(span), vectors.shape[1])
        whole[rows[of_chunk] - span.start] = encoders.unit(vectors[of_chunk])
        pool.write_chunk(project.pk, encoders.IMPORTED, int(chunk), whole)
    Project.objects.filter(pk=project.pk).update(encoder=encoders.IMPORTED)
    project.encoder = encoders.IMPORTED


def rows_for(
    project: Project, count: int, rows: Int[np.ndarray, " n"] | None, external_ids: Sequence[str] | None
) -> Int[np.ndarray, " n"]:
    """Whose rows `count` vectors are: those given, those of the items with these ids, else the first ones in order.

    Raises BadField for an id that no item has, and for one that is given twice.
    """
    if external_ids is None:
        return np.arange(count) if rows is None else rows
    items = Item.objects.filter(project=project, external_id__isnull=False)
    row_of = dict(items.values_list("external_id", "row"))
    if strange := [own for own in external_ids if own not in row_of]:
        raise BadField("external_ids", _("No item has the external id “%(id)s”.") % {"id": strange[0]})
    found = np.array([row_of[own] for own in external_ids], dtype=np.int64)
    distinct, counts = np.unique(found, return_counts=True)
    if len(distinct) < len(found):
        twice = external_ids[int(np.flatnonzero(found == distinct[counts.argmax()])[0])]
        raise BadField("external_ids", _("The external id “%(id)s” is there twice.") % {"id": twice})
    return found


def embedded(project: Project) -> int:
    """How many of the project's items have a vector."""
    count = Tally.objects.get(project=project).items
    return count - _without(project, count)


def _embed_missing(project: Project, encoder: Encoder, count: int, progress: Progress) -> int:
    missing = pool.missing_rows(project.pk, encoder.name, encoder.dimension, count)
    there = count - len(missing)
    embedded = 0
    progress(there, count, "items")
    for chunk in np.unique(missing // pool.CHUNK):
        before = there + embedded
        embedded += embed_chunk(
            project,
            encoder,
            int(chunk),
            count,
            lambda done, before=before: progress(before + done, count, "items"),  # type: ignore[misc]
        )
    return embedded


def _kept_states(project: Project, chunk: int, count: int) -> list[States | None] | None:
    """The hidden states kept of this chunk so far; None where none are to be kept."""
    rows = pool.rows_of(chunk, count)
    if tunings.obstacle(project) or rows.start >= settings.ANNOTATOR_KEPT_STATES:
        return None
    return tunings.read_states(project.pk, project.encoder, chunk, len(rows))


def _encoded(
    encoder: Encoder, items: list[Any], places: Int[np.ndarray, " n"], keeping: list[States | None] | None
) -> Float[np.ndarray, "n dim"]:
    """The items' vectors; where hidden states are kept, the items' go to their places among them."""
    if keeping is None or not isinstance(encoder, Tunable):
        return encoder.encode(items)
    vectors, read = encoder.read(items)
    for place, states in zip(places, read, strict=True):
        keeping[place] = states
    return vectors


def _without(project: Project, count: int) -> int:
    """How many items have no vector."""
    dimension = pool.stored_dimension(project.pk, project.encoder) if project.encoder else None
    return count if dimension is None else len(pool.missing_rows(project.pk, project.encoder, dimension, count))


def _installed_choice(project: Project) -> str:
    image = project.modality == Project.Modality.IMAGE
    return str(settings.ANNOTATOR_IMAGE_ENCODER if image else settings.ANNOTATOR_TEXT_ENCODER)


def _sample(project: Project) -> list[Any]:
    """Items from all over the project: a file's beginning may be all of one language or one kind."""
    count = Tally.objects.get(project=project).items
    size = SAMPLE_IMAGES if project.modality == Project.Modality.IMAGE else encoders.SAMPLE
    rows = np.unique(np.linspace(0, count - 1, num=min(size, count)).astype(np.int64))
    items = Item.objects.filter(project=project, row__in=rows.tolist()).order_by("row")
    return [shown for shown in map(content, items) if shown]


def _stored(project: Project, encoder: Encoder, chunk: int, rows: range) -> Float[np.ndarray, "rows dim"]:
    """The chunk's vectors so far, float16, with NaN for those to come."""
    kept = pool.read_chunk(project.pk, encoder.name, chunk)
    return _padded(kept, len(rows), encoder.dimension)


def _padded(kept: np.ndarray | None, count: int, dimension: int) -> Float[np.ndarray, "rows dim"]:
    whole = np.full((count, dimension), np.nan, dtype=np.float16)
    if kept is not None and kept.shape[1] == dimension:
        whole[: len(kept)] = kept[:count]
    return whole


def _by_length(project: Project, rows: Int[np.ndarray, " n"]) -> Iterator[tuple[Int[np.ndarray, " m"], list[Any]]]:
    """The items of these rows in slices, those of like length together: (their rows, their texts or image files)."""
    wanted = set(rows.tolist())
    if not wanted:
        return
    items = Item.objects.filter(project=project, row__gte=min(wanted), row__lte=max(wanted))
    found = [item for item in items.only("row", "text", "image").iterator() if item.row in wanted]
    found.sort(key=lambda item: (len(item.text), item.row))
    size = SLICE[Project.Modality(project.modality)]
    for start in range(0, len(found), size):
        some = found[start : start + size]
        yield np.array([item.row for item in some]), [content(item) for item in some]


def _refuse_bad(project: Project, rows: Int[np.ndarray, " n"], vectors: Float[np.ndarray, "n dim"], count: int) -> None:
    if vectors.ndim != 2 or len(vectors) != len(rows) or not vectors.shape[1]:
        raise BadField("vectors", _("There must be one vector, a row of numbers, for each item."))
    strange = rows[(rows < 0) | (rows >= count)]
    if len(strange):
        raise BadField(
            "rows",
            _("The project has no item in row %(row)s; its last row is %(last)s.")
            % {"row": int(strange[0]), "last": count - 1},
        )
    with np.errstate(over="ignore"):
        lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
    bad = rows[~np.isfinite(lengths) | (lengths == 0)]
    if len(bad):
        message = _("The vector of row %(row)s is not finite or is all zeros. Leave such items out.")
        raise BadField("vectors", message % {"row": int(bad[0])})
    known = pool.stored_dimension(project.pk, encoders.IMPORTED)
    if known not in (None, vectors.shape[1]):
        message = _("The vectors have %(new)s numbers each, those imported before %(old)s. Import all of them anew.")
        raise BadField("vectors", message % {"new": vectors.shape[1], "old": known})
