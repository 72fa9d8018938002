"""manage.py metatrain: labelled files in, a checkpoint out; and the refusals that people will meet."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from metalearning.checkpoint import load
from metalearning.sources import save
from tests.metalearning.made_sources import made

QUICK = ["--tasks", "10", "--validation-tasks", "5", "--epochs", "2", "--members", "1"]


def test_vectors_become_a_checkpoint(tmp_path: Path) -> None:
    for number, name in enumerate(("a", "b")):
        save(made(name, seed=number), tmp_path / f"{name}.npz")
    out = StringIO()
    files = ["--train", str(tmp_path / "a.npz"), "--validation", str(tmp_path / "b.npz")]
    call_command("metatrain", *files, "--folder", str(tmp_path / "out"), "--name", "ours", *QUICK, stdout=out)
    found = load(tmp_path / "out" / "checkpoint.safetensors")
    assert found.fits("blobs")
    assert "Config(tasks=10" in out.getvalue()
    assert found.label in out.getvalue()


def test_refusals_say_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello")
    save(made("a"), tmp_path / "a.npz")
    for train, reason in ((tmp_path / "a.txt", "text and label"), (tmp_path / "a.npz", "share 240 items")):
        files = ["--train", str(train), "--validation", str(tmp_path / "a.npz")]
        with pytest.raises(CommandError, match=reason):
            call_command("metatrain", *files, "--folder", str(tmp_path / "out"), *QUICK)
