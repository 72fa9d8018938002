"""`python -m metalearning`: meta-training, the papers' experiments, and the check of a certificate."""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from metalearning import certified_data, metatrain, omniglot, sinusoid, sources
from metalearning.certificate_record import RecordDoesNotHold
from metalearning.checkpoint import CheckpointUnreadable, load
from metalearning.experiments import ALGORITHMS, table
from metalearning.training import Progress


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 0, or 1 where a certificate does not hold."""
    torch.set_num_threads(1)  # on a shared machine several threads make small tensors slower, not faster
    options = _parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = options.run
    return run(options)


def _sinusoid(options: argparse.Namespace) -> int:
    config = _config(sinusoid.Config, options)
    print(config)
    with tqdm(total=3 * config.iterations, unit="step", mininterval=1) as bar:
        result = sinusoid.run(config, _advance(bar), options.file)
    steps = [0, 1, *range(5, config.test_steps + 1, 5)]
    print(f"Mean squared error on {config.test_episodes} new waves, K = {config.shots}, 95 % intervals")
    print(
        table(
            ["inner steps", *map(str, steps)],
            [
                [config.algorithm, *(result.learned[step] for step in steps)],
                ["training on all waves", *(result.pretrained[step] for step in steps)],
                ["oracle", *[result.oracle] * len(steps)],
            ],
        )
    )
    return 0


def _omniglot(options: argparse.Namespace) -> int:
    config = _config(omniglot.Config, options)
    print(config)
    data = omniglot.load(options.data)
    with tqdm(total=config.iterations, unit="step", mininterval=1) as bar:
        trained = omniglot.run(config, data, _advance(bar), options.file)
    best = max(trained.curve, key=lambda point: point.score)
    print(
        f"{len(data.training.names)} characters, each in four turns; best of {len(trained.curve)} checks after "
        f"{best.iteration} steps ({best.score:.3f} on {len(data.validation.names)} characters of another alphabet), "
        f"{trained.curve[-1].cpu_seconds:.0f} CPU seconds in all"
    )
    print(f"Accuracy on {config.test_episodes} episodes of new alphabets' characters, 95 % intervals")
    results = [omniglot.evaluate(config, trained.best, data.testing, *test) for test in omniglot.tests(data.testing)]
    rows = [[config.algorithm, f"{r.way}-way {r.shot}-shot", r.transductive, r.inductive] for r in results]
    print(table(["algorithm", "episodes", "transductive", "not transductive"], rows))
    return 0


def _metatrain(options: argparse.Namespace) -> int:
    try:
        training, validation, kept = (
            [sources.load(path) for path in paths] for paths in (options.train, options.validation, options.kept)
        )
        config = _config(metatrain.Config, options)
        print(config)
        with Bars() as bars:
            found = metatrain.metatrain(
                training,
                validation,
                config,
                load(options.start) if options.start else None,
                options.folder,
                kept=kept,
                name=options.name,
                serves=options.serves,
                progress=bars.advance,
            )
    except (ValueError, CheckpointUnreadable) as refusal:  # every refusal says what to do about it
        print(f"refused: {refusal}", file=sys.stderr)
        return 1
    for what, figure in found.card["figures"].items():
        print(f"{what:28s} {figure:.4f}")
    print(f"{options.folder / 'checkpoint.safetensors'}: {found.label}")
    return 0


class Bars:
    """A progress bar for each thing that is being done, one after the other."""

    def __init__(self) -> None:
        self.bar: tqdm[Any] | None = None

    def __enter__(self) -> "Bars":
        return self

    def __exit__(self, *_error: object) -> None:
        if self.bar is not None:
            self.bar.close()

    def advance(self, what: str, done: int, total: int) -> None:
        if self.bar is None or self.bar.desc != f"{what}: ":
            self.__exit__()
            self.bar = tqdm(total=total, desc=what, mininterval=1)
        self.bar.update(done - self.bar.n)


def _verify(options: argparse.Namespace) -> int:
    try:
        verdict = certified_data.verify(options.files)
    except RecordDoesNotHold as error:
        print(f"does not hold: {error}")
        return 1
    for line in verdict:
        print(line)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m metalearning", description=__doc__)
    commands = parser.add_subparsers(required=True)
    waves = commands.add_parser("sinusoid", help="regression of sine waves from K points")
    _add_file(waves)
    _add_config(waves, sinusoid.Config)
    waves.set_defaults(run=_sinusoid)
    characters = commands.add_parser("omniglot", help="characters of unseen alphabets")
    characters.add_argument("--data", type=Path, required=True, help="npz with images, labels, classes")
    _add_file(characters)
    _add_config(characters, omniglot.Config)
    characters.set_defaults(run=_omniglot)
    training = commands.add_parser("metatrain", help="train a gate on labelled data, given as vectors")
    training.add_argument("--train", type=Path, nargs="+", required=True, help=".npz written by sources.save")
    training.add_argument("--validation", type=Path, nargs="+", required=True, help="sources to stop early by")
    training.add_argument("--kept", type=Path, nargs="*", default=[], help="sources that must not be trained on")
    training.add_argument("--folder", type=Path, required=True, help="checkpoint and curves; resumed if they are there")
    training.add_argument("--start", type=Path, help="a checkpoint to go on from")
    training.add_argument("--name", default="gate", help="what the checkpoint is called")
    training.add_argument("--serves", nargs="*", default=[], help="encoders it may be used for; default: the sources'")
    _add_config(training, metatrain.Config)
    training.set_defaults(run=_metatrain)
    verify = commands.add_parser(
        "verify", help="recompute certificates from their records, and compare exported data with what they certify"
    )
    verify.add_argument(
        "files", type=Path, nargs="+", help="certificate.json, and the exported data (CSV, JSON, Parquet or zip)"
    )
    verify.set_defaults(run=_verify)
    return parser


def _add_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--file", type=Path, help="keep the training here, with its curve, and go on from it")


def _add_config(parser: argparse.ArgumentParser, config: type[Any]) -> None:
    """One option for each field of the dataclass that is a number or a name."""
    for field in fields(config):
        if not isinstance(field.default, int | float | str):
            continue
        choices = ALGORITHMS if field.name == "algorithm" else None
        parser.add_argument(
            f"--{field.name.replace('_', '-')}",
            type=type(field.default),
            default=field.default,
            choices=choices,
            help=f"default: {field.default}",
        )


def _config(config: type[Any], options: argparse.Namespace) -> Any:
    given = {field.name: getattr(options, field.name) for field in fields(config) if hasattr(options, field.name)}
    return config(**given)


def _advance(bar: "tqdm[Any]") -> Progress:
    def advance(iteration: int, loss: float) -> None:
        bar.update()
        if iteration % 50 == 0:
            bar.set_postfix(loss=f"{loss:.3f}", refresh=False)

    return advance


if __name__ == "__main__":
    sys.exit(main())
