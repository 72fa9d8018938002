"""Metatrain: learn from many small labelling projects how far to trust each expert in a new one.

    sources -> labelling tasks -> their accuracy by how far is leaned (recorded) -> the gate, by Adam -> checkpoint

The experts are fitted in closed form or by L-BFGS and stay as they are; only the gate of three numbers is learned, on
what the project is told in the end, after its neighbours were asked. Each task is tried at a few shares once, and what
lies between is interpolated, so that a thousand tasks cost minutes. Everything is written to a folder as it goes: a
training that was killed goes on where it stopped and ends with the same numbers.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from metalearning import gate as gates
from metalearning import recorded
from metalearning.adapt import adapt
from metalearning.calibration import expected_calibration_error
from metalearning.checkpoint import Checkpoint, content_hash, load, save
from metalearning.gate import Gate
from metalearning.labelling import (
    LabellingTask,
    Sampling,
    answered_by_margin,
    answered_evenly,
    whole,
)
from metalearning.networks import Params
from metalearning.predict import predict
from metalearning.recorded import Record
from metalearning.sources import TaskSource, refuse_overlap
from metalearning.vectors import Rows

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""


HARDLY = 2.0
"""The logit, negative, of the share of what is allowed with which a gate begins."""


class FolderInUse(ValueError):
    """The folder holds the beginnings of another training."""


@dataclass(frozen=True)
class Config:
    """All that decides a training beside the data. Printed in full, and kept in the checkpoint's card."""

    tasks: int = 100
    """Of each source, so that what is learned carries over to further kinds."""
    validation_tasks: int = 20
    """Of each source."""
    epochs: int = 60
    patience: int = 30
    """Epochs without a better validation loss after which a member is done."""
    batch: int = 64
    rate: float = 0.05
    pull: float = 1e-6
    """Penalty on the squared distance from the start, which is hardly any leaning or an earlier gate."""
    blur: float = 0.1
    """Standard deviation of the noise on the features while training, so that nothing hangs on their details."""
    members: int = 1
    """Networks that see the tasks in different orders and with different noise, averaged."""
    seed: int = 0
    sampling: Sampling = field(default_factory=Sampling)


@dataclass(frozen=True)
class TaskResult:
    """How one task of an evaluation went."""

    manner: str
    """"balanced": so many random answers of each label; "margin": so many answers asked by margin."""
    answers: int
    """Per label if balanced, else in all."""
    draw: int
    accuracy: float
    """Share of right suggestions among the unanswered items, in [0, 1]."""
    calibration_error: float
    """In [0, 1]; see `calibration.expected_calibration_error`."""


def metatrain(
    sources: Sequence[TaskSource],
    validation: Sequence[TaskSource],
    config: Config,
    start: Checkpoint | None,
    folder: Path,
    *,
    kept: Sequence[TaskSource] = (),
    name: str = "gate",
    serves: Sequence[str] = (),
    records: Path | None = None,
    progress: Progress | None = None,
) -> Checkpoint:
    """Train a gate on tasks from `sources`, stop early by tasks from `validation`; write all of it into `folder`.

    `start`: an earlier checkpoint to go on from. `kept`: sources that must not be trained on, such as tests.
    `serves`: encoders for which the checkpoint may be used, those of the sources if empty. `records`: where
    recorded tasks are kept, for several trainings that share sources; the folder if None. The folder then holds
    `config.json`, `curves.jsonl` (a line per member and epoch) and `checkpoint.safetensors`; started again with the
    same arguments, it goes on where it was.

    Raises `SourcesOverlap` if an item of `validation` or `kept` is in `sources`, `UnusableSource` for a source without
    two labels, and `FolderInUse` if the folder belongs to a training of another config or other data.
    """
    refuse_overlap(sources, [*validation, *kept])
    refuse_overlap(validation, kept)
    folder.mkdir(parents=True, exist_ok=True)
    card = _card(sources, validation, config, start, name, serves)
    _claim(folder, card)
    tell = progress or (lambda what, done, total: None)
    seen = _records(sources, config, config.tasks, records or folder, "training", tell)
    unseen = _records(validation, config, config.validation_tasks, records or folder, "validation", tell)
    begin = _start(start, config)
    trained = [_member(number, begin, seen, unseen, config, folder, tell) for number in range(config.members)]
    params = {key: torch.stack([member[key] for member in trained]) for key in gates.TENSORS}
    card["figures"] = _figures(params, seen, unseen)
    save(folder / "checkpoint.safetensors", params, card)
    return Checkpoint(params, card)


def evaluate(
    checkpoint: Checkpoint | None,
    source: TaskSource,
    *,
    shots: Sequence[int] = (1, 2, 3, 5, 10),
    by_margin: Sequence[int] = (50, 100),
    draws: int = 3,
    most: int = 2000,
    seed: int = 0,
) -> list[TaskResult]:
    """How the recipe does on a source it was not trained on, with the checkpoint's gate or (None) the untrained one.

    See `answered` for the tasks. Equal arguments give equal tasks, so that the results of two checkpoints can be
    compared pair by pair.
    """
    gate = checkpoint.gate if checkpoint else Gate()
    tasks = answered(source, shots=shots, by_margin=by_margin, draws=draws, most=most, seed=seed)
    results = []
    for number, count, task in tasks:
        right, confidence = judged(task, gate, seed)
        error = expected_calibration_error(confidence, right)
        results.append(TaskResult(task.manner, count, number, float(right.mean()), error))
    return results


def answered(
    source: TaskSource, *, shots: Sequence[int], by_margin: Sequence[int], draws: int, most: int, seed: int
) -> Iterator[tuple[int, int, LabellingTask]]:
    """The source as one project of at most `most` items: the draw, how many answers, and the task so far answered.

    Each draw gives `shots` random answers of each label, and `by_margin` answers as the untrained recipe asks for them.
    Draws that leave less than a tenth of the items open are left out.
    """
    for number in range(draws):
        rng = np.random.default_rng([seed, number])
        rows = np.sort(rng.permutation(len(source))[:most])
        project = whole(source.part(rows))
        asked = [(count, answered_evenly(project, count, rng)) for count in shots]
        asked += [(count, answered_by_margin(project, count, rng)) for count in by_margin]
        for count, task in asked:
            if len(task.rows) < 0.9 * len(task.pool):
                yield number, count, task


def judged(
    task: LabellingTask, gate: Gate, seed: int = 0
) -> tuple[Bool[np.ndarray, " items"], Float[np.ndarray, " items"]]:
    """Of the open items: whether the recipe with this gate suggests what is right, and how sure it is of it."""
    generator = np.random.default_rng(seed)
    found = adapt(task.pool, task.names, task.rows, task.answers, task.label_count, generator=generator, gate=gate)
    prediction = predict(found, task.pool)
    right = (prediction.label_id == task.label_ids)[task.open_rows]
    return right, prediction.confidence[task.open_rows]


# What is written down -----------------------------------------------------------------------------------------------


def _card(
    sources: Sequence[TaskSource],
    validation: Sequence[TaskSource],
    config: Config,
    start: Checkpoint | None,
    name: str,
    serves: Sequence[str],
) -> dict[str, Any]:
    encoders = sorted({source.encoder for source in sources})
    card = {
        "name": name,
        "recipe": gates.RECIPE,
        "encoder": {"names": encoders, "dimensions": sorted({source.x.shape[1] for source in sources})},
        "serves": list(serves or encoders),
        "config": asdict(config),
        "seed": config.seed,
        "sources": [source.card() for source in sources],
        "validation": [source.card() for source in validation],
        "start": None if start is None else content_hash(start.params),
    }
    plain: dict[str, Any] = json.loads(json.dumps(card))
    return plain


def _claim(folder: Path, card: Mapping[str, Any]) -> None:
    """Write down what this folder is for, or see that it is the same."""
    facts = folder / "config.json"
    if not facts.exists():
        _write(facts, json.dumps(card, indent=2, ensure_ascii=False))
    elif json.loads(facts.read_text(encoding="utf-8")) != card:
        raise FolderInUse(f"{folder} holds a training of another config or other data: give it another folder.")


def _records(
    sources: Sequence[TaskSource], config: Config, count: int, folder: Path, what: str, tell: Progress
) -> list[Record]:
    """`count` recorded tasks of each source; those that are in the folder already are read."""
    records: list[Record] = []
    for number, source in enumerate(sources):
        tell(f"drawing {what} tasks", number * count, len(sources) * count)
        records += recorded.of_source(source, count, config.sampling, config.seed, folder)
    tell(f"drawing {what} tasks", len(records), len(records))
    return records


def _write(path: Path, text: str) -> None:
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)


# The gate as torch sees it ------------------------------------------------------------------------------------------


def _start(checkpoint: Checkpoint | None, config: Config) -> list[Params]:
    """Where each member starts: at the earlier gate, or where every project hardly leans."""
    if checkpoint is not None:
        earlier = checkpoint.gate.network  # refuses tensors that are no gate
        count = len(earlier.bias) if earlier else 1
        return [
            {key: checkpoint.params[key][k % count].clone() for key in gates.TENSORS} for k in range(config.members)
        ]
    fresh = {key: torch.zeros(shape) for key, shape in gates.TENSORS.items()}
    fresh["gate.bias"] -= HARDLY
    return [{key: value.clone() for key, value in fresh.items()} for _ in range(config.members)]


def outputs(params: Params, features: Tensor) -> Tensor:
    """The share to lean by of each row of features, (tasks,), as `gate.Network` has it."""
    answers = 200 * features[:, gates.COUNT]
    chosen = torch.sigmoid(features[:, list(gates.READ)] @ params["gate.weight"] + params["gate.bias"])
    return gates.MOST * answers / (answers + gates.HALF) * chosen


def losses(shares: Tensor, records: Sequence[Record]) -> Tensor:
    """Share of wrong suggestions in each task, (tasks,), leaning by `shares`: interpolated between those tried."""
    wrong = 1 - torch.from_numpy(np.stack([one.accuracies for one in records]))
    steps = len(recorded.SHARES) - 1
    place = shares / gates.MOST * steps
    left = place.detach().long().clamp(0, steps - 1)[:, None]
    part = place - left[:, 0]
    return (1 - part) * wrong.gather(1, left)[:, 0] + part * wrong.gather(1, left + 1)[:, 0]


def mean_loss(params: Params, records: Sequence[Record]) -> float:
    """Of one member over all records, without gradients."""
    with torch.no_grad():
        return float(losses(outputs(params, _features(records)), records).mean())


def _features(records: Sequence[Record]) -> Tensor:
    return torch.from_numpy(np.stack([one.features for one in records]))


# The loop -----------------------------------------------------------------------------------------------------------


@dataclass
class _State:
    """Where a member's training stands after an epoch: enough to go on with the same numbers."""

    params: Params
    first: Params
    """Adam's running means of the gradients and of their squares."""
    second: Params
    best: Params
    best_loss: float
    best_epoch: int = 0
    steps: int = 0
    epoch: int = 0


def _member(
    number: int,
    begin: Sequence[Params],
    seen: Sequence[Record],
    unseen: Sequence[Record],
    config: Config,
    folder: Path,
    tell: Progress,
) -> Params:
    """One network: epochs of Adam (Kingma & Ba 2015) until validation has not improved for `patience` of them."""
    path = folder / f"member-{number}.safetensors"
    state = _resumed(path, begin[number], unseen)
    curves = _Curves(folder / "curves.jsonl", number, state.epoch)
    while state.epoch < config.epochs and state.epoch - state.best_epoch < config.patience:
        state.epoch += 1
        rng = np.random.default_rng([config.seed, number, state.epoch])
        order = rng.permutation(len(seen))
        training = [_step(state, begin[number], [seen[k] for k in b], config, rng) for b in _batches(order, config)]
        validation = mean_loss(state.params, unseen)
        if validation < state.best_loss:
            state.best_loss, state.best_epoch = validation, state.epoch
            state.best = {key: value.clone() for key, value in state.params.items()}
        curves.add(state.epoch, float(np.mean(training)), validation)
        _keep(path, state)
        tell(f"training network {number + 1} of {config.members}", state.epoch, config.epochs)
    return state.best


def _step(state: _State, begin: Params, batch: Sequence[Record], config: Config, rng: np.random.Generator) -> float:
    """One step of Adam on the mean loss of a batch and the pull to the start; returns the loss without the pull."""
    leaves = {key: value.detach().requires_grad_() for key, value in state.params.items()}
    seen = _features(batch)
    noise = config.blur * rng.standard_normal(seen.shape, dtype=np.float32)
    noise[:, gates.COUNT] = 0
    data = losses(outputs(leaves, seen + torch.from_numpy(noise)), batch).mean()
    away = torch.stack([(leaves[key] - begin[key]).square().sum() for key in leaves]).sum()
    gradients = torch.autograd.grad(data + config.pull * away, list(leaves.values()))
    state.steps += 1
    for key, gradient in zip(leaves, gradients, strict=True):
        state.first[key] = 0.9 * state.first[key] + 0.1 * gradient
        state.second[key] = 0.999 * state.second[key] + 0.001 * gradient.square()
        mean = state.first[key] / (1 - 0.9**state.steps)
        spread = (state.second[key] / (1 - 0.999**state.steps)).sqrt()
        state.params[key] = leaves[key].detach() - config.rate * mean / (spread + 1e-8)
    return float(data.detach())


def _batches(order: Rows, config: Config) -> Iterator[Rows]:
    for first in range(0, len(order), config.batch):
        yield order[first : first + config.batch]


def _resumed(path: Path, begin: Params, unseen: Sequence[Record]) -> _State:
    """Where the member was; at first the start is the best there is, so that no training ends worse than it began."""
    zeros = {key: torch.zeros_like(value) for key, value in begin.items()}
    if not path.exists():
        return _State(dict(begin), dict(zeros), dict(zeros), dict(begin), mean_loss(begin, unseen))
    stored = load(path)
    groups: dict[str, Params] = {"params": {}, "first": {}, "second": {}, "best": {}}
    for key, value in stored.params.items():
        group, name = key.split(" ", 1)
        groups[group][name] = value
    return _State(groups["params"], groups["first"], groups["second"], groups["best"], **stored.card)


def _keep(path: Path, state: _State) -> None:
    groups = {"params": state.params, "first": state.first, "second": state.second, "best": state.best}
    tensors = {f"{group} {name}": value for group, params in groups.items() for name, value in params.items()}
    facts = ("steps", "epoch", "best_loss", "best_epoch")
    save(path, tensors, {fact: getattr(state, fact) for fact in facts})


class _Curves:
    """`curves.jsonl`: a line per member and epoch; lines of epochs that a killed training did not keep are dropped."""

    def __init__(self, path: Path, member: int, epoch: int) -> None:
        self.path, self.member = path, member
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        written = [json.loads(line) for line in lines if line.endswith("}")]
        kept = [one for one in written if (one["member"], one["epoch"]) <= (member, epoch)]
        if len(kept) < len(lines):
            _write(path, "".join(json.dumps(one) + "\n" for one in kept))

    def add(self, epoch: int, training: float, validation: float) -> None:
        line = {"member": self.member, "epoch": epoch, "training": training, "validation": validation}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def _figures(params: Params, seen: Sequence[Record], unseen: Sequence[Record]) -> dict[str, float]:
    """Mean losses of the finished gate, and of the untrained one, on what it was trained on and on validation."""
    members = [{key: value[k] for key, value in params.items()} for k in range(len(params["gate.bias"]))]
    figures = {}
    for what, records in (("training", seen), ("validation", unseen)):
        shares = torch.stack([outputs(member, _features(records)) for member in members]).mean(0)
        for name, given in ((f"{what} loss", shares), (f"{what} loss, untrained", torch.zeros_like(shares))):
            figures[name] = round(float(losses(given, records).mean()), 5)
    return figures
