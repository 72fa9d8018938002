"""metatrain: trains on labelled files how far to trust names, prototypes and regressions in new projects."""

from __future__ import annotations

from argparse import ArgumentParser
from dataclasses import fields
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from labeling import encoders
from labeling.errors import Refused


class Command(BaseCommand):
    """Writes checkpoint.safetensors, config.json and curves.jsonl into the folder; goes on there after being killed."""

    help = "Meta-train the gate on labelled files; the folder then holds a checkpoint and its curves."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        from metalearning.metatrain import Config

        parser.add_argument("--train", type=Path, nargs="+", required=True, help=".jsonl or .csv with text and label.")
        parser.add_argument("--validation", type=Path, nargs="+", required=True, help="Files to stop early by.")
        parser.add_argument("--kept", type=Path, nargs="*", default=[], help="Files that must not be trained on.")
        parser.add_argument("--folder", type=Path, required=True, help="Where the checkpoint goes; resumed if begun.")
        parser.add_argument("--start", type=Path, help="A checkpoint to go on from.")
        parser.add_argument("--name", default="gate", help="What the checkpoint is called.")
        parser.add_argument("--encoder", default="minilm", help="The encoder of the texts (minilm).")
        parser.add_argument("--without-kept", action="store_true", help="Leave out what the kept files have too.")
        for field in fields(Config):
            if isinstance(field.default, int | float):
                option = f"--{field.name.replace('_', '-')}"
                parser.add_argument(option, type=type(field.default), default=field.default)

    def handle(self, *args: Any, **options: Any) -> None:
        from metalearning.__main__ import Bars
        from metalearning.checkpoint import CheckpointUnreadable, load
        from metalearning.metatrain import Config, metatrain
        from metalearning.sources import without

        given = {field.name: options[field.name] for field in fields(Config) if field.name in options}
        config = Config(**given)
        self.stdout.write(str(config))
        try:
            training, validation, kept = (
                [_source(path, options["encoder"]) for path in options[part]]
                for part in ("train", "validation", "kept")
            )
            if options["without_kept"]:
                validation = [without(one, kept) for one in validation]
                training = [without(one, [*validation, *kept]) for one in training]
            with Bars() as bars:
                found = metatrain(
                    training,
                    validation,
                    config,
                    load(options["start"]) if options["start"] else None,
                    options["folder"],
                    kept=kept,
                    name=options["name"],
                    progress=bars.advance,
                )
        except (ValueError, CheckpointUnreadable, Refused) as refusal:
            raise CommandError(str(refusal)) from refusal
        for what, figure in found.card["figures"].items():
            self.stdout.write(f"{what}: {figure}")
        self.stdout.write(f"{options['folder'] / 'checkpoint.safetensors'}: {found.label}")


def _source(path: Path, name: str) -> Any:
    from metalearning import sources

    if path.suffix == ".npz":
        return sources.load(path)
    encoder = encoders.get(name)
    texts, labels = sources.read_labelled(path)
    return sources.from_texts(
        path.stem, texts, labels, encoder.encode, encode_names=encoder.encode_names, encoder=encoder.name
    )
