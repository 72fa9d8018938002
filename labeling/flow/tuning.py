"""Tuning: the encoder's top layers learn from the answers so far, slowly and beside the quick rounds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
from django.conf import settings

from labeling import encoders, lessons, naming, pool, tunings
from labeling.encoders.base import States, Tunable
from labeling.models import Item, Job, Label, Project, Tally
from metalearning import opinions, tuned, tuning
from metalearning.vectors import Rows

Progress = Callable[[int, int, str], object]
READ_AT_ONCE = 512  # texts


def run(job: Job, progress: Progress) -> tunings.Tuning | None:
    """Tune the project's encoder to its answers and store what it says of every item; the next round hears of it.

    Always from the published weights: a second run, or one after a kill, changes nothing but the time.
    """
    began = time.perf_counter()
    project = Project.objects.get(pk=job.project_id)
    done = None if tunings.obstacle(project) else tune(project=project, progress=progress)
    if done is not None:
        seconds = round(time.perf_counter() - began, 1)
        result = {"tuning": done.number, "answers": done.answers, "items": len(done.said), "seconds": seconds}
        Job.objects.filter(pk=job.pk).update(result=result)
    return done


def tune(
    *, project: Project, progress: Progress = lambda done, total, unit: None, seed: int = 0
) -> tunings.Tuning | None:
    """One tuning; None while fewer than two labels were given, or no item has a vector.

    Raises Cancelled from `progress`.
    """
    encoder = encoders.tunable(project.encoder)
    labels = list(Label.objects.filter(project=project, archived_at=None).order_by("position"))
    count = Tally.objects.get(project=project).items
    stored = pool.vectors(project.pk, encoder.name, encoder.dimension, count)
    known = lessons.known_prefix(project, stored.present)
    rows, columns = lessons.one_each(*lessons.answers(project, labels, known), len(labels))
    if len(np.unique(columns)) < 2:
        return None
    progress(0, known, "items")
    words, word_states = encoder.read([naming.wording(label) for label in labels])
    lesson = tuning.Lesson(_states(project, encoder, rows), columns, word_states)
    others = tuned.around(rows, known)
    states = [*lesson.states, *_states(project, encoder, others)]
    ground = tuned.Ground(states, stored.values[np.concatenate([rows, others])].astype(np.float32), words)
    generator = np.random.default_rng([seed, len(rows)])
    network, start = encoder.finish, encoder.top()
    unseen = tuned.held_out(network, start, lesson, ground, generator, lambda: progress(0, known, "items"))
    params = tuned.learn(network, start, lesson, np.arange(len(rows)), ground, generator)
    vectors = np.empty((known, encoder.dimension), dtype=np.float16)
    for of_chunk in _chunks(known):
        vectors[of_chunk] = tuning.embed(network, params, _states(project, encoder, of_chunk))
        progress(int(of_chunk[-1]) + 1, known, "items")
    names = tuned.name_vectors(network, params, lesson.names, encoder.dimension)
    said = tuned.recipe(vectors, names, rows, columns, generator)
    table = np.concatenate([opinions.kept(said(part)) for part in _chunks(known)])
    table[rows] = opinions.kept(unseen)  # of what it was told itself it would only repeat the answer
    done = tunings.Tuning(
        number=tunings.next_number(project.pk),
        encoder=encoder.name,
        answers=len(rows),
        label_ids=np.array([label.pk for label in labels]),
        said=table,
        learned_rows=rows,
        unseen=unseen,
    )
    tunings.write(project.pk, done)
    return done


def _chunks(known: int) -> Iterator[Rows]:
    """The rows of each chunk of the pool."""
    for chunk in range(-(-known // pool.CHUNK)):
        yield np.array(pool.rows_of(chunk, known))


def _states(project: Project, encoder: Tunable, rows: Rows) -> list[States]:
    """What enters the encoder's top layers for the items at these rows, ascending: what is kept, and the rest read."""
    found: list[States] = []
    for chunk in np.unique(rows // pool.CHUNK):
        of_chunk = rows[rows // pool.CHUNK == chunk]
        found += _states_of_chunk(project, encoder, int(chunk), of_chunk)
    return found


def _states_of_chunk(project: Project, encoder: Tunable, chunk: int, rows: Rows) -> list[States]:
    first = chunk * pool.CHUNK
    states = tunings.read_states(project.pk, encoder.name, chunk, int(rows[-1]) + 1 - first)
    missing = [int(row) for row in rows if states[row - first] is None]
    for start in range(0, len(missing), READ_AT_ONCE):
        some = missing[start : start + READ_AT_ONCE]
        texts = dict(Item.objects.filter(project=project, row__in=some).values_list("row", "text"))
        for row, read in zip(some, encoder.read([texts[row] for row in some])[1], strict=True):
            states[row - first] = read
    if any(row < settings.ANNOTATOR_KEPT_STATES for row in missing):
        tunings.write_states(project.pk, encoder.name, chunk, tunings.within_limit(first, states))
    return [state for row in rows if (state := states[row - first]) is not None]
