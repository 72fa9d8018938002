"""Tuning: the encoder's top layers learn from the answers so far, slowly and beside the quick rounds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
from django.conf import settings

from labeling import encoders, lessons, naming, pool, tunings
from labeling.encoders.base import States, Tunable
from labeling.models import Item, Job, Label, Project, Tally
from metalearning import tuned, tuning, views
from metalearning.graph import NEIGHBOURS, neighbour_graph
from metalearning.vectors import Rows

Progress = Callable[[int, int, str], object]
READ_AT_ONCE = 512  # texts


def run(job: Job, progress: Progress) -> tunings.Tuning | None:
    """Tune the project's encoder to its answers and store how it sees every item; the next round looks through it.

    `job.arguments`: {"names": False} hides what the labels are called, for comparisons. Always from the published
    weights: a second run, or one after a kill, changes nothing but the time.
    """
    began = time.perf_counter()
    project = Project.objects.get(pk=job.project_id)
    with_names = bool(job.arguments.get("names", True))
    able = not tunings.obstacle(project)
    done = tune(project=project, progress=progress, with_names=with_names) if able else None
    if done is not None:
        seconds = round(time.perf_counter() - began, 1)
        result = {"tuning": done.number, "answers": done.answers, "items": done.vectors.shape[1], "seconds": seconds}
        Job.objects.filter(pk=job.pk).update(result=result)
    return done


def tune(
    *,
    project: Project,
    progress: Progress = lambda done, total, unit: None,
    with_names: bool = True,
    seed: int = 0,
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
    wordings = {label.pk: naming.wording(label) for label in labels}
    words, word_states = _read_words(encoder, list(wordings.values()), with_names=with_names)
    lesson = tuning.Lesson(_states(project, encoder, rows), columns, word_states)
    others = tuned.around(rows, known)
    states = [*lesson.states, *_states(project, encoder, others)]
    ground = tuned.Ground(states, stored.values[np.concatenate([rows, others])].astype(np.float32), words)
    generator = np.random.default_rng([seed, len(rows)])
    network, start = encoder.finish, encoder.top()
    learned = tuned.learners(network, start, lesson, ground, generator, lambda: progress(0, known, "items"))
    names = np.stack([_names(encoder, params, words, word_states) for params in learned.weights])
    vectors = np.empty((len(learned.weights), known, encoder.dimension), dtype=np.float16)
    for of_chunk in _chunks(known):
        here, before = _states(project, encoder, of_chunk), stored.values[of_chunk]
        for seen, params in zip(vectors, learned.weights, strict=True):
            seen[of_chunk] = views.blended(before, tuning.embed(network, params, here))
            progress(int(of_chunk[0]), known, "items")
    done = tunings.Tuning(
        number=tunings.next_number(project.pk),
        encoder=encoder.name,
        answers=len(rows),
        wordings=wordings,
        vectors=vectors,
        names=names,
        learned_rows=rows,
        part=learned.part,
    )
    drawn = [neighbour_graph(seen, NEIGHBOURS, np.random.default_rng(0)) for seen in vectors]
    tunings.write(project.pk, done, drawn)
    return done


def _read_words(encoder: Tunable, wordings: list[str], *, with_names: bool) -> tuple[np.ndarray, list[States | None]]:
    """The wordings' vectors and states; zero rows and None where they are hidden."""
    if with_names:
        words, states = encoder.read(wordings)
        return words, list(states)
    return np.zeros((len(wordings), encoder.dimension), dtype=np.float32), [None] * len(wordings)


def _names(encoder: Tunable, params: tuning.Params, words: np.ndarray, states: list[States | None]) -> np.ndarray:
    """The label names as an encoder with these weights sees them, blended with the published vectors."""
    return views.blended(words, tuned.name_vectors(encoder.finish, params, states, encoder.dimension))


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
