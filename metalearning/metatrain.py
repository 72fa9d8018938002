"""Metatrain: learn from many small labelling projects how far to trust each expert in a new one.

    sources -> labelling tasks -> what the experts say of each (recorded once) -> the gate, by Adam -> checkpoint

The experts are fitted in closed form or by L-BFGS and stay as they are; only the gate of some 250 weights is learned,
so that a thousand tasks cost minutes. Everything is written to a folder as it goes: a training that was killed goes on
where it stopped and ends with the same numbers.
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
from torch import Tensor
from torch.nn import functional as F

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
    draw,
    whole,
)
from metalearning.networks import Params
from metalearning.predict import predict
from metalearning.recorded import Record
from metalearning.sources import TaskSource, refuse_overlap
from metalearning.vectors import Rows

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""
CHUNK = 50
"""Tasks recorded between two writes."""


class FolderInUse(ValueError):
    """The folder holds the beginnings of another training."""


@dataclass(frozen=True)
class Config:
    """All that decides a training beside the data. Printed in full, and kept in the checkpoint's card."""

    tasks: int = 1000
    validation_tasks: int = 300
    epochs: int = 40
    patience: int = 6
    """Epochs without a better validation loss after which a member is done."""
    batch: int = 20
    rate: float = 3e-3
    pull: float = 1e-3
    """Penalty on the squared distance from the start, which is the untrained gate or an earlier one."""
    members: int = 3
    """Networks trained from different seeds and averaged."""
    queries: int = 200
    """Unanswered items of each task on which the gate is judged."""
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
    progress: Progress | None = None,
) -> Checkpoint:
    """Train a gate on tasks from `sources`, stop early by tasks from `validation`; write all of it into `folder`.

    `start`: an earlier checkpoint to go on from. `kept`: sources that must not be trained on, such as tests.
    `serves`: encoders for which the checkpoint may be used, those of the sources if empty. The folder then holds
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
    seen = _records(sources, config, config.tasks, folder, "training", tell)
    unseen = _records(validation, config, config.validation_tasks, folder, "validation", tell)
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

    The source becomes one project of at most `most` items. Each draw gives `shots` random answers of each label, and
    `by_margin` answers as the untrained recipe asks for them. Equal arguments give equal tasks, so that the results of
    two checkpoints can be compared pair by pair. Draws that leave less than a tenth of the items open are left out.
    """
    gate = checkpoint.gate if checkpoint else Gate()
    results = []
    for number in range(draws):
        rng = np.random.default_rng([seed, number])
        rows = np.sort(rng.permutation(len(source))[:most])
        project = whole(source.part(rows))
        asked = [("balanced", count, answered_evenly(project, count, rng)) for count in shots]
        asked += [("margin", count, answered_by_margin(project, count, rng)) for count in by_margin]
        for manner, count, task in asked:
            if len(task.rows) < 0.9 * len(task.pool):
                results.append(TaskResult(manner, count, number, *_judged(task, gate, seed)))
    return results


def _judged(task: LabellingTask, gate: Gate, seed: int) -> tuple[float, float]:
    generator = np.random.default_rng(seed)
    found = adapt(task.pool, task.names, task.rows, task.answers, task.label_count, generator=generator, gate=gate)
    prediction = predict(found, task.pool)
    right = (prediction.label_id == task.label_ids)[task.open_rows]
    return float(right.mean()), expected_calibration_error(prediction.confidence[task.open_rows], right)


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
    """`count` recorded tasks, a chunk at a time; chunks that are already there are read."""
    records: list[Record] = []
    for number, first in enumerate(range(0, count, CHUNK)):
        path = folder / f"{what}-{number:04d}.npz"
        if not path.exists():
            places = range(first, min(first + CHUNK, count))
            recorded.save(path, [_drawn(sources, config, what, place) for place in places])
        records += recorded.load(path)
        tell(f"drawing {what} tasks", min(first + CHUNK, count), count)
    return records


def _drawn(sources: Sequence[TaskSource], config: Config, what: str, place: int) -> Record:
    """The task of this number, whatever was drawn before; one without anything to judge by is drawn again."""
    rng = np.random.default_rng([config.seed, what == "training", place])
    while True:
        found = recorded.record(draw(sources, config.sampling, rng), config.queries, rng)
        if found is not None:
            return found


def _write(path: Path, text: str) -> None:
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)


# The gate as torch sees it ------------------------------------------------------------------------------------------


def _start(checkpoint: Checkpoint | None, config: Config) -> list[Params]:
    """Where each member starts: at the earlier gate, or where every project gets the untrained weights."""
    if checkpoint is not None:
        earlier = checkpoint.gate.network  # refuses tensors that are no gate
        count = len(earlier.hidden_bias) if earlier else 1
        return [
            {key: checkpoint.params[key][k % count].clone() for key in gates.TENSORS} for k in range(config.members)
        ]
    return [_fresh(torch.Generator().manual_seed(1000 * config.seed + number)) for number in range(config.members)]


def _fresh(generator: torch.Generator) -> Params:
    """Small random weights behind the untrained outputs; those are at least 0.02, or nothing could be learned."""
    outputs = torch.tensor([*np.maximum(gates.UNTRAINED, 0.02).tolist(), 1.0])
    width, inputs = gates.TENSORS["gate.hidden.weight"]
    return {
        "gate.hidden.weight": torch.randn(width, inputs, generator=generator) / inputs**0.5,
        "gate.hidden.bias": torch.zeros(width),
        "gate.output.weight": 0.03 * torch.randn(len(outputs), width, generator=generator),
        "gate.output.bias": torch.log(torch.expm1(outputs)),  # softplus of it is `outputs`
    }


def outputs(params: Params, features: Tensor) -> Tensor:
    """Four weights and a temperature, as `gate.Network` computes them for one member; (5,)."""
    hidden = torch.tanh(params["gate.hidden.weight"] @ features + params["gate.hidden.bias"])
    return F.softplus(params["gate.output.weight"] @ hidden + params["gate.output.bias"])


def loss(given: Tensor, one: Record) -> Tensor:
    """Cross-entropy of the open items under the weights and the temperature `given`, the neighbours' share included."""
    weights = torch.cat([given[:4], torch.ones(1)])
    logits = torch.einsum("e,eil->il", weights, torch.from_numpy(one.opinions).float()) / given[4]
    return F.cross_entropy(logits, torch.from_numpy(one.label_ids))


def mean_loss(params: Params, records: Sequence[Record]) -> float:
    """Of one member over all records, without gradients."""
    with torch.no_grad():
        total = sum(float(loss(outputs(params, torch.from_numpy(one.features)), one)) for one in records)
    return total / max(len(records), 1)


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
        order = np.random.default_rng([config.seed, number, state.epoch]).permutation(len(seen))
        training = [_step(state, begin[number], [seen[k] for k in batch], config) for batch in _batches(order, config)]
        validation = mean_loss(state.params, unseen)
        if validation < state.best_loss:
            state.best_loss, state.best_epoch = validation, state.epoch
            state.best = {key: value.clone() for key, value in state.params.items()}
        curves.add(state.epoch, float(np.mean(training)), validation)
        _keep(path, state)
        tell(f"training network {number + 1} of {config.members}", state.epoch, config.epochs)
    return state.best


def _step(state: _State, begin: Params, batch: Sequence[Record], config: Config) -> float:
    """One step of Adam on the mean loss of a batch and the pull to the start; returns the loss without the pull."""
    leaves = {key: value.detach().requires_grad_() for key, value in state.params.items()}
    data = torch.stack([loss(outputs(leaves, torch.from_numpy(one.features)), one) for one in batch]).mean()
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
    trained = Gate.of({name: value.numpy() for name, value in params.items()})
    figures = {}
    for what, records in (("training", seen), ("validation", unseen)):
        figures[f"{what} loss"] = _gate_loss(trained, records)
        figures[f"{what} loss, untrained"] = _gate_loss(Gate(), records)
    return figures


def _gate_loss(gate: Gate, records: Sequence[Record]) -> float:
    losses = []
    for one in records:
        given = torch.tensor([*gate.trust(one.features).tolist(), gate.temperature(one.features) or 1.0])
        losses.append(float(loss(given, one)))
    return round(float(np.mean(losses)), 5)
