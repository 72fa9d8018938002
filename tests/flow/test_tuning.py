"""Tuning: the encoder learns beside the quick rounds, survives kills, and the snapshot says which tuning it heard."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from django.utils import timezone

from deploy import supervise
from deploy.options import parse
from labeling import blobs, dispatch, encoders, jobs, learner, pool, tasks, tunings
from labeling.errors import Cancelled
from labeling.flow import adapting, answering, embedding, founding, tuning
from labeling.models import Item, Job, Project, Role, Snapshot, User
from metalearning.graph import NEIGHBOURS, neighbour_graph
from tests import make
from tests.metalearning.tiny import WIDTH, tiny_network, tiny_params

pytestmark = pytest.mark.django_db
WORDS = ["apple", "river", "engine"]
ITEMS = 60


class Toy:
    """A tiny encoder that can learn: a word's states are numbers drawn for it, two layers make them a vector."""

    name = "minilm"
    dimension = WIDTH
    modality = "text"

    def __init__(self) -> None:
        self.read_texts: list[str] = []

    def top(self) -> dict[str, torch.Tensor]:
        return {name: weight.float() for name, weight in tiny_params().items()}

    def finish(self, weights: Mapping[str, torch.Tensor], states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return tiny_network(weights, states, mask)

    def read(self, items: Sequence[str]) -> tuple[np.ndarray, list[np.ndarray]]:
        self.read_texts += items
        states = [np.stack([self._word(word) for word in text.split()]) for text in items]
        with torch.inference_mode():
            vectors = [
                tiny_network(self.top(), torch.from_numpy(one)[None].float(), torch.ones(1, len(one)) > 0)[0]
                for one in states
            ]
        return torch.stack(vectors).numpy(), states

    def encode(self, items: Sequence[str]) -> np.ndarray:
        return self.read(items)[0]

    def encode_names(self, names: Sequence[str]) -> np.ndarray:
        return self.encode(names)

    def _word(self, word: str) -> np.ndarray:
        return np.random.default_rng(zlib.crc32(word.encode())).standard_normal(WIDTH).astype(np.float16)


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Toy:
    made = Toy()
    monkeypatch.setitem(encoders._loaded, "minilm", made)  # type: ignore[arg-type]
    return made


@pytest.fixture
def project(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Sixty items in three groups, each told by a word; all embedded. Twenty answers are enough to learn from."""
    learner.forget()
    monkeypatch.setattr(tunings, "FIRST", 20)
    texts = [f"{WORDS[k % 3]} and filler{k % 7} number{k}" for k in range(ITEMS)]
    made = make.project(labels=WORDS, texts=texts, encoder="minilm", tunes=True)
    embed(made)
    toy.read_texts.clear()
    return made


@pytest.fixture
def anna(project: Project) -> User:
    return make.member(project, Role.ANNOTATOR, "anna")


def embed(project: Project) -> None:
    job = Job.objects.create(project=project, kind=Job.Kind.EMBED, created_at=timezone.now())
    embedding.run(job, lambda done, total=0, unit="": None)
    Job.objects.filter(pk=job.pk).delete()


def answer(project: Project, author: User, rows: range) -> None:
    labels = list(project.labels.order_by("position"))
    for item in Item.objects.filter(project=project, row__in=list(rows)):
        answering.submit(project=project, item=item, author=author, label=labels[item.row % 3], now=timezone.now())


def begun(project: Project) -> Job:
    """A tuning job as the loop begins it."""
    return dispatch.start(project, Job.Kind.TUNE, tunings.due(project))


def told(project: Project) -> np.ndarray:
    snapshot = Snapshot.objects.filter(project=project).latest("number")
    return np.array(pool.read_predictions(project.pk, snapshot.number).label_id)


def test_answers_lead_to_a_tuning_and_the_next_snapshot_says_so(
    project: Project, anna: User, on_the_spot: None, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        answer(project, anna, range(24))
    kinds = list(Job.objects.filter(project=project).order_by("pk").values_list("kind", "state"))
    assert kinds == [("adapt", "done"), ("tune", "done"), ("adapt", "done")]
    before, after = Snapshot.objects.filter(project=project).order_by("number")
    assert "tuning" not in before.facts
    assert (after.facts["tuning"], after.facts["tuning_answers"]) == (1, 24)
    job = Job.objects.get(project=project, kind=Job.Kind.TUNE)
    assert (job.result["tuning"], job.result["answers"], job.result["items"]) == (1, 24, ITEMS)
    ids = list(project.labels.order_by("position").values_list("pk", flat=True))
    assert (told(project) == [ids[row % 3] for row in range(ITEMS)]).mean() > 0.7


def test_it_is_due_after_enough_further_answers_and_not_again_at_once(project: Project, anna: User) -> None:
    answer(project, anna, range(tunings.FIRST - 1))
    assert tunings.due(project) is None
    answer(project, anna, range(tunings.FIRST - 1, tunings.FIRST))
    job = begun(project)
    assert job.arguments == {"answers": tunings.FIRST, "items": ITEMS, "encoder": "minilm"}
    Job.objects.filter(pk=job.pk).update(state=Job.State.FAILED)
    assert tunings.due(project) is None
    Job.objects.filter(pk=job.pk).update(arguments=job.arguments | {"answers": tunings.FIRST - tunings.EVERY})
    assert tunings.due(project) is not None
    Job.objects.filter(pk=job.pk).update(arguments=job.arguments | {"items": ITEMS // 2})
    assert tunings.due(project) is not None
    Job.objects.filter(pk=job.pk).update(arguments=job.arguments | {"encoder": "multilingual"})
    assert tunings.due(project) is not None


def test_a_large_project_waits_for_more_answers(project: Project, anna: User, monkeypatch: pytest.MonkeyPatch) -> None:
    answer(project, anna, range(tunings.FIRST))
    job = begun(project)
    Job.objects.filter(pk=job.pk).update(
        state=Job.State.DONE, arguments=job.arguments | {"answers": tunings.FIRST - tunings.EVERY}
    )
    assert tunings.due(project) is not None
    monkeypatch.setattr(tunings, "PACE", ITEMS / (2 * tunings.EVERY))
    assert tunings.due(project) is None


def test_where_it_is_not_wanted_or_cannot_be_it_is_never_due(project: Project, anna: User, settings: Any) -> None:
    answer(project, anna, range(24))
    assert tunings.obstacle(project) == ""
    settings.ANNOTATOR_TUNED_ITEMS = ITEMS - 1
    assert (tunings.obstacle(project), tunings.due(project)) == ("large", None)
    project.encoder = "sentence-transformers:x"
    assert (tunings.obstacle(project), tunings.due(project)) == ("encoder", None)
    founding.change(project=project, settings={"tunes": False})
    assert (tunings.obstacle(project), tunings.due(project)) == ("off", None)


def test_switched_off_it_is_looked_through_no_longer(project: Project, anna: User) -> None:
    answer(project, anna, range(24))
    assert tuning.tune(project=project) is not None
    tuned = adapting.adapt(project=project)
    founding.change(project=project, settings={"tunes": False})
    plain = adapting.adapt(project=Project.objects.get(pk=project.pk))
    assert tuned is not None
    assert plain is not None
    assert "tuning" in tuned.facts
    assert "tuning" not in plain.facts


def test_a_quick_round_does_not_wait_for_a_slow_one(
    project: Project, anna: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(project, anna, range(24))
    [adapt] = Job.objects.filter(project=project, kind=Job.Kind.ADAPT)
    slow = begun(project)
    assert jobs.claim(slow.pk, timezone.now()) is not None
    tasks.run(adapt.pk)
    adapt.refresh_from_db()
    slow.refresh_from_db()
    assert (adapt.state, slow.state) == (Job.State.DONE, Job.State.RUNNING)


def test_slow_jobs_go_to_workers_of_their_own(
    project: Project, anna: User, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    sent: list[tuple[str, str]] = []

    def send_task(name: str, args: list[int], queue: str) -> None:
        sent.append((Job.objects.get(pk=args[0]).kind, queue))

    monkeypatch.setattr(dispatch, "current_app", SimpleNamespace(send_task=send_task))
    with django_capture_on_commit_callbacks(execute=True):
        answer(project, anna, range(24))
        begun(project)
    assert ("adapt", "celery") in sent
    assert ("tune", "slow") in sent
    sent.clear()
    Job.objects.update(created_at=timezone.now() - timedelta(seconds=62))
    dispatch.resend()
    assert sorted(sent) == [("adapt", "celery"), ("tune", "slow")]
    sent.clear()
    Job.objects.update(created_at=timezone.now() - timedelta(seconds=90))
    dispatch.resend()
    assert sent == [("adapt", "celery")]  # what waits for a slow worker is sent once a minute


def test_the_supervisor_starts_a_worker_for_each_queue(tmp_path: Any) -> None:
    options = parse(["--data", str(tmp_path)])
    commands = {child.name: list(child.argv) for child in supervise._workers(options, {})}
    assert "--queues" not in commands["worker"]
    slow = commands["slow"]
    assert slow[slow.index("--queues") + 1] == dispatch.SLOW_QUEUE
    assert slow[slow.index("--concurrency") + 1] == "1"


def test_run_again_it_says_the_same_whether_states_were_kept_or_not(project: Project, anna: User, toy: Toy) -> None:
    answer(project, anna, range(24))
    first = tuning.tune(project=project)
    assert toy.read_texts == WORDS  # of the items everything was kept
    tunings.delete_states(project.pk, "minilm")
    again = tuning.tune(project=project)
    assert first is not None
    assert again is not None
    assert (first.number, again.number) == (1, 2)
    assert np.array_equal(first.vectors, again.vectors)
    assert np.array_equal(first.names, again.names)
    assert np.array_equal(first.part, again.part)
    assert len(toy.read_texts) > ITEMS
    assert tunings.states_kept(project.pk, "minilm") == ITEMS  # and kept for the next time


def test_beyond_the_limit_items_are_read_anew(project: Project, anna: User, toy: Toy, settings: Any) -> None:
    answer(project, anna, range(24))
    whole = tuning.tune(project=project)
    tunings.delete_states(project.pk, "minilm")
    settings.ANNOTATOR_KEPT_STATES = 10
    for _turn in range(2):
        toy.read_texts.clear()
        part = tuning.tune(project=project)
        assert part is not None
        assert whole is not None
        assert np.array_equal(whole.vectors, part.vectors)
        assert tunings.states_kept(project.pk, "minilm") == 10
    assert not any(text.endswith("number3") for text in toy.read_texts)
    assert any(text.endswith("number33") for text in toy.read_texts)


def test_embedding_keeps_states_up_to_the_limit_and_of_added_items_too(toy: Toy, settings: Any) -> None:
    settings.ANNOTATOR_KEPT_STATES = 5
    project = make.project(labels=WORDS, texts=["apple one", "apple two"], encoder="minilm", tunes=True)
    embed(project)
    assert tunings.states_kept(project.pk, "minilm") == 2
    make.add_texts(project, [f"river {k}" for k in range(6)])
    embed(Project.objects.get(pk=project.pk))
    assert tunings.states_kept(project.pk, "minilm") == 5
    states = tunings.read_states(project.pk, "minilm", 0, 8)
    assert [one is not None for one in states] == [True] * 5 + [False] * 3
    assert np.array_equal(states[2], toy.read(["river 0"])[1][0])


def test_a_cancelled_tuning_leaves_nothing_behind(project: Project, anna: User) -> None:
    answer(project, anna, range(24))
    calls = iter(range(8))

    def stop(done: int, total: int, unit: str) -> None:
        if next(calls, None) is None:
            raise Cancelled

    with pytest.raises(Cancelled):
        tuning.tune(project=project, progress=stop)
    assert tunings.newest(project.pk, "minilm") is None
    assert adapting.adapt(project=project) is not None


def test_what_comes_meanwhile_is_learned_from_and_seen_as_it_was_published(project: Project, anna: User) -> None:
    answer(project, anna, range(24))
    made = tuning.tune(project=project)
    assert made is not None
    make.add_texts(project, [f"{WORDS[k % 3]} and later{k}" for k in range(6)])
    embed(Project.objects.get(pk=project.pk))
    answer(project, anna, range(24, 30))
    snapshot = adapting.adapt(project=project)
    assert snapshot is not None
    assert (snapshot.answers, snapshot.items, snapshot.facts["tuning_answers"]) == (30, ITEMS + 6, 24)
    assert made.learned_rows.tolist() == list(range(24))
    ids = list(project.labels.order_by("position").values_list("pk", flat=True))
    assert (told(project)[24:] == [ids[row % 3] for row in range(24, ITEMS + 6)]).mean() > 0.5


def lesson_of(monkeypatch: pytest.MonkeyPatch, project: Project) -> learner.Lesson:
    """What a round hands to the engine."""
    seen: list[learner.Lesson] = []
    learn = learner.learn
    monkeypatch.setattr(learner, "learn", lambda lesson: seen.append(lesson) or learn(lesson))
    assert adapting.adapt(project=project) is not None
    monkeypatch.setattr(learner, "learn", learn)
    return seen[0]


def test_a_label_renamed_or_added_is_known_by_its_published_name(
    project: Project, anna: User, toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(project, anna, range(24))
    made = tuning.tune(project=project)
    assert made is not None
    labels = list(project.labels.order_by("position"))
    labels[1].name = "stream"
    labels[1].save()
    project.labels.create(name="cloud", position=9)
    lesson = lesson_of(monkeypatch, project)
    assert lesson.tuned is not None
    published = toy.encode_names(["apple", "stream", "engine", "cloud"])
    for place, names in enumerate(lesson.tuned.names):
        assert np.allclose(names[[0, 2]], made.names[place, [0, 2]])
        assert np.allclose(names[[1, 3]], published[[1, 3]], atol=1e-6)


def test_a_round_looks_through_the_stored_arrays(project: Project, anna: User, monkeypatch: pytest.MonkeyPatch) -> None:
    answer(project, anna, range(24))
    made = tuning.tune(project=project)
    lesson = lesson_of(monkeypatch, project)
    assert made is not None
    assert lesson.tuned is not None
    assert np.array_equal(lesson.tuned.x, made.vectors)
    assert np.allclose(np.linalg.norm(made.vectors.astype(np.float32), axis=2), 1, atol=2e-3)
    assert made.vectors.shape == (5, ITEMS, WIDTH)
    drawn = tunings.graphs(project.pk, made.number)
    assert drawn is not None
    for x, links in zip(made.vectors, drawn, strict=True):
        assert (links != neighbour_graph(x, NEIGHBOURS, np.random.default_rng(0))).nnz == 0


def test_what_is_asked_next_the_published_vectors_say(project: Project, anna: User) -> None:
    answer(project, anna, range(24))
    plain = adapting.adapt(project=project)
    assert tuning.tune(project=project) is not None
    tuned = adapting.adapt(project=project)
    assert plain is not None
    assert tuned is not None
    asked = [{one["row"] for one in pool.read_ranking(project.pk, made.number)[:10]} for made in (plain, tuned)]
    assert len(asked[0] & asked[1]) >= 8
    told_of = [np.array(pool.read_predictions(project.pk, made.number).confidence) for made in (plain, tuned)]
    assert not np.allclose(told_of[0], told_of[1], atol=0.01)


def test_names_that_are_hidden_are_not_learned_from(project: Project, anna: User, toy: Toy) -> None:
    answer(project, anna, range(24))
    made = tuning.tune(project=project, with_names=False)
    assert made is not None
    assert not made.names.any()
    assert toy.read_texts == []


def test_what_earlier_versions_stored_is_passed_over(project: Project, anna: User) -> None:
    answer(project, anna, range(24))
    folder = tunings._folder(project.pk)
    facts = np.array('{"encoder": "minilm", "answers": 24}')
    blobs.write(f"{folder}/00000001.said.npy", lambda file: np.save(file, np.zeros(3)))
    blobs.write(f"{folder}/00000001.facts.npz", lambda file: np.savez(file, facts=facts))
    snapshot = adapting.adapt(project=project)
    assert snapshot is not None
    assert "tuning" not in snapshot.facts
    made = tuning.tune(project=project)
    assert made is not None
    assert made.number == 2
    assert adapting.adapt(project=project).facts["tuning"] == 2  # type: ignore[union-attr]


def test_one_label_alone_teaches_nothing(project: Project, anna: User) -> None:
    answer(project, anna, range(0, ITEMS, 3))
    assert tuning.tune(project=project) is None


def test_another_encoders_tuning_is_not_heard(project: Project, anna: User) -> None:
    answer(project, anna, range(24))
    assert tuning.tune(project=project) is not None
    assert tunings.newest(project.pk, "multilingual") is None


def test_only_the_newest_tunings_are_kept(project: Project, anna: User) -> None:
    answer(project, anna, range(24))
    for _turn in range(4):
        tuning.tune(project=project)
    assert tunings._numbers(project.pk) == [3, 4]
    pool.delete_project(project.pk)
    assert tunings._numbers(project.pk) == []
    assert tunings.states_kept(project.pk, "minilm") == 0
