"""Adapting: answers become a snapshot with predictions for every item, and a queue."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from django.utils import timezone

from labeling import learner, pool, tasks
from labeling.flow import adapting, answering, queueing, suggesting
from labeling.models import Answer, Candidate, Item, Job, Label, Project, Role, Snapshot, User
from tests import make

pytestmark = pytest.mark.django_db
ENCODER = "imported"  # vectors are given, so no encoder is loaded
GROUPS = 3


@pytest.fixture
def project() -> Project:
    """Sixty items in three clear groups, group k of the rows k, k + 3, ..."""
    learner.forget()
    made = make.project(
        labels=["red", "green", "blue"], texts=[f"{k % GROUPS} of {k}" for k in range(60)], encoder=ENCODER
    )
    rng = np.random.default_rng(0)
    centres = np.eye(GROUPS, 8)
    x = centres[np.arange(60) % GROUPS] + 0.25 * rng.standard_normal((60, 8))
    pool.write_chunk(made.pk, ENCODER, 0, (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32))
    return made


@pytest.fixture
def anna(project: Project) -> User:
    return make.member(project, Role.ANNOTATOR, "anna")


def answer(project: Project, author: User, rows: range | list[int]) -> None:
    labels = list(project.labels.order_by("position"))
    for item in Item.objects.filter(project=project, row__in=list(rows)):
        answering.submit(project=project, item=item, author=author, label=labels[item.row % GROUPS], now=timezone.now())


def suggested(project: Project, snapshot: Snapshot) -> np.ndarray:
    ids = list(project.labels.order_by("position").values_list("pk", flat=True))
    return np.array([ids.index(label) for label in pool.read_predictions(project.pk, snapshot.number).label_id])


def test_a_few_answers_label_the_rest(project: Project, anna: User) -> None:
    answer(project, anna, range(6))
    snapshot = adapting.adapt(project=project)
    assert snapshot is not None
    assert (snapshot.number, snapshot.answers, snapshot.items) == (1, 6, 60)
    assert (suggested(project, snapshot) == np.arange(60) % GROUPS).mean() > 0.95


def test_without_vectors_or_labels_there_is_nothing_to_learn_on(anna: User, project: Project) -> None:
    assert adapting.adapt(project=make.project(labels=["a"], texts=["x"], name="no vectors")) is None
    assert adapting.adapt(project=make.project(texts=["x"], name="no labels", encoder=ENCODER)) is None


def test_without_answers_and_names_typical_items_are_asked_first(project: Project) -> None:
    snapshot = adapting.adapt(project=project)
    assert snapshot is not None
    ranking = pool.read_ranking(project.pk, snapshot.number)
    assert {ask["code"] for ask in ranking} == {"typical"}
    assert {ask["row"] % GROUPS for ask in ranking[:GROUPS]} == {0, 1, 2}
    assert np.all(pool.read_predictions(project.pk, snapshot.number).label_id == -1)


def test_the_queue_is_filled_with_open_items_and_their_likeliest_labels(project: Project, anna: User) -> None:
    answer(project, anna, range(9))
    job = Job.objects.get(project=project, kind=Job.Kind.ADAPT)
    tasks.run(job.pk)
    job.refresh_from_db()
    assert (job.state, job.error) == (Job.State.DONE, "")
    queued = list(Candidate.objects.filter(project=project).select_related("item"))
    assert {candidate.item.row for candidate in queued} == set(range(9, 60))
    labels = set(project.labels.values_list("pk", flat=True))
    for candidate in queued:
        assert {label for label, _p in candidate.top} == labels
        shares = [share for _label, share in candidate.top]
        assert shares == sorted(shares, reverse=True)
        assert sum(shares) == pytest.approx(1, abs=0.01)


def test_a_label_added_later_is_learned_with_the_next_answers(project: Project, anna: User) -> None:
    answer(project, anna, range(9))
    adapting.adapt(project=project)
    new = Label.objects.create(project=project, name="odd", position=3)
    [item] = Item.objects.filter(project=project, row=30)
    answering.submit(project=project, item=item, author=anna, label=new, now=timezone.now())
    snapshot = adapting.adapt(project=project)
    assert snapshot is not None
    assert snapshot.labels[-1] == new.pk
    assert pool.read_predictions(project.pk, snapshot.number).label_id[30] == new.pk


def test_labels_that_nobody_gave_yet_keep_the_model_humble(project: Project, anna: User) -> None:
    answer(project, anna, [0, 3, 6, 9])
    snapshot = adapting.adapt(project=project)
    assert snapshot is not None
    told = pool.read_predictions(project.pk, snapshot.number)
    assert float(told.confidence[10:].max()) <= 4 / 6 + 1e-3
    ask = pool.read_ranking(project.pk, snapshot.number)[0]
    assert sum(share for _label, share in ask["top"]) == pytest.approx(1, abs=0.01)
    assert float(told.confidence[0]) == 1


def test_an_archived_label_is_no_longer_suggested(project: Project, anna: User) -> None:
    answer(project, anna, range(12))
    adapting.adapt(project=project)
    blue = project.labels.get(name="blue")
    Label.objects.filter(pk=blue.pk).update(archived_at=timezone.now())
    snapshot = adapting.adapt(project=project)
    assert snapshot is not None
    assert blue.pk not in pool.read_predictions(project.pk, snapshot.number).label_id


def test_an_accuracy_is_claimed_only_from_enough_answers_and_with_an_interval(project: Project, anna: User) -> None:
    answer(project, anna, range(4))
    few = adapting.adapt(project=project)
    answer(project, anna, range(4, 45))
    many = adapting.adapt(project=project)
    assert few is not None
    assert many is not None
    assert "accuracy" not in few.estimates
    told = many.estimates["accuracy"]
    assert 0 <= told["low"] <= told["estimate"] <= told["high"] <= 1
    truth = float((suggested(project, many)[45:] == np.arange(45, 60) % GROUPS).mean())
    assert told["low"] - 0.02 <= truth <= told["high"] + 0.02


def test_answers_that_come_while_adapting_are_folded_into_one_next_job(
    project: Project, anna: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(project, anna, range(3))
    [job] = Job.objects.filter(project=project, kind=Job.Kind.ADAPT)
    learn = learner.learn

    def learn_while_people_answer(lesson: learner.Lesson) -> learner.Learned:
        answer(project, anna, range(3, 9))
        tasks.run(Job.objects.get(project=project, state=Job.State.QUEUED).pk)  # turned away: one at a time
        return learn(lesson)

    monkeypatch.setattr(learner, "learn", learn_while_people_answer)
    tasks.run(job.pk)
    states = list(
        Job.objects.filter(project=project, kind=Job.Kind.ADAPT).order_by("pk").values_list("state", flat=True)
    )
    assert states == [Job.State.DONE, Job.State.QUEUED]
    assert Snapshot.objects.get(project=project).answers == 3
    monkeypatch.undo()
    tasks.run(Job.objects.get(project=project, state=Job.State.QUEUED).pk)
    assert Snapshot.objects.filter(project=project).order_by("-number")[0].answers == 9


def test_a_held_items_suggestion_is_the_newest_snapshots(project: Project, anna: User) -> None:
    answer(project, anna, range(6))
    first = adapting.adapt(project=project)
    assert first is not None
    queueing.refill(project=project, snapshot=first, asked=pool.read_ranking(project.pk, first.number))
    [lease] = queueing.claim(project=project, user=anna, tab="", count=1, now=timezone.now())
    answer(project, anna, [row for row in range(6, 40) if row != lease.item.row])
    second = adapting.adapt(project=project)
    [suggestion] = suggesting.for_leases(project, [lease], second)
    assert suggestion is not None
    assert second is not None
    assert suggestion["snapshot"] == 2
    predicted = pool.read_predictions(project.pk, second.number)
    assert suggestion["label"] == predicted.label_id[lease.item.row]
    assert suggestion["confidence"] == pytest.approx(float(predicted.confidence[lease.item.row]), abs=1e-3)
    assert len(suggestion["top"]) == GROUPS
    assert sum(share for _label, share in suggestion["top"]) == pytest.approx(1, abs=0.02)


def test_a_new_worker_finds_the_neighbours_that_another_has_drawn(
    project: Project, anna: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(project, anna, range(6))
    first = adapting.adapt(project=project)
    learner.forget()
    monkeypatch.setattr(learner.graph, "neighbour_graph", lambda *_: pytest.fail("drawn again"))
    second = adapting.adapt(project=project)
    assert first is not None
    assert second is not None
    assert np.array_equal(suggested(project, first), suggested(project, second))
    assert second.facts["neighbours"]


def test_old_snapshots_arrays_are_dropped_but_not_those_that_somebody_accepted_from(
    project: Project, anna: User
) -> None:
    from labeling.models import Batch

    answer(project, anna, range(3))
    first: Any = adapting.adapt(project=project)
    Batch.objects.create(project=project, accepted_by=anna, snapshot=first, created_at=timezone.now())
    for _ in range(adapting.KEPT + 1):
        adapting.adapt(project=project)
    kept = [
        snapshot.number
        for snapshot in Snapshot.objects.filter(project=project)
        if pool.has_predictions(project.pk, snapshot.number)
    ]
    assert kept == [1, *range(3, adapting.KEPT + 3)]


def test_random_items_are_a_fair_sample_of_what_is_open(project: Project, anna: User) -> None:
    """Also of those that the margin ranks first: were they left out, the sample's accuracy would flatter the model."""
    answer(project, anna, range(6))
    Project.objects.filter(pk=project.pk).update(random_share=0.4)
    project.refresh_from_db()
    ranked: list[list[dict[str, Any]]] = []
    for seed in range(60):
        snapshot = adapting.adapt(project=project, seed=seed)
        assert snapshot is not None
        ranked.append(pool.read_ranking(project.pk, snapshot.number))
    for asks in ranked:
        assert sorted(ask["row"] for ask in asks) == list(range(6, 60)), "each open item once"
    assert snapshot.facts["mix"] == {"margin": 0.6, "typical": 0.0, "random": 0.4, "doubt": 0.0}
    drawn = np.array([ask["row"] for asks in ranked for ask in asks if ask["code"] == "random"])
    counts = np.bincount(drawn, minlength=60)[6:]
    expected = len(drawn) / 54
    chi_squared = ((counts - expected) ** 2 / expected).sum()
    assert chi_squared < 85, "54 items: the 99.5 % quantile of chi squared with 53 degrees of freedom is 82"
    assert 0.33 < len(drawn) / (54 * 60) < 0.47


def test_the_model_is_told_which_answers_were_drawn_at_random(
    project: Project, anna: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(project, anna, range(30))
    Answer.objects.filter(project=project, item__row__lt=15).update(reason="random")
    seen: list[learner.Lesson] = []
    learn = learner.learn
    monkeypatch.setattr(learner, "learn", lambda lesson: seen.append(lesson) or learn(lesson))
    assert adapting.adapt(project=project) is not None
    (lesson,) = seen
    assert lesson.at_random is not None
    assert sorted(lesson.rows[lesson.at_random]) == list(range(15))
    assert sorted(lesson.rows[~lesson.at_random]) == list(range(15, 30))
