"""Settings come from the environment alone, bad ones are refused with the way out, and the docs know them all."""

from __future__ import annotations

import re
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from annotator import env
from deploy.console import ROOT

LONG_KEY = "k" * 32


def read(tmp_path: Path, **environ: str) -> env.Environment:
    return env.read({"ANNOTATOR_DATA_DIR": str(tmp_path), **environ})


@pytest.mark.parametrize(
    ("name", "value", "way_out"),
    [
        ("ANNOTATOR_MODE", "cluster", "embedded, server"),
        ("DATABASE_URL", "mysql://db/x", "postgres://"),
        ("REDIS_URL", "http://redis", "redis+socket://"),
        ("ANNOTATOR_STORAGE_URL", "ftp://files", "file://"),
        ("SECRET_KEY", "short", "at least 32"),
        ("ANNOTATOR_HTTPS", "yes", "0, 1"),
        ("ANNOTATOR_DEBUG", "true", "0, 1"),
        ("ANNOTATOR_TEXT_ENCODER", "bert", "minilm"),
        ("ANNOTATOR_IMAGE_ENCODER", "sentence-transformers:x", "efficientnet-lite0"),
        ("ANNOTATOR_MAX_UPLOAD_MB", "0", "above 0"),
        ("ANNOTATOR_MAX_UPLOAD_MB", "-1", "above 0"),
        ("ANNOTATOR_KEPT_STATES", "-1", "0 or more"),
        ("ANNOTATOR_TUNED_ITEMS", "all", "0 or more"),
    ],
)
def test_a_bad_value_is_refused_with_its_name_and_the_way_out(
    tmp_path: Path, name: str, value: str, way_out: str
) -> None:
    with pytest.raises(env.BadSetting) as refused:
        read(tmp_path, **{name: value})
    assert name in str(refused.value)
    assert way_out in str(refused.value)


def test_a_secret_key_is_never_shown_in_a_refusal(tmp_path: Path) -> None:
    with pytest.raises(env.BadSetting) as refused:
        read(tmp_path, SECRET_KEY="hunter2")
    assert "hunter2" not in str(refused.value)


def test_server_mode_needs_a_secret_key_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(env.BadSetting):
        read(tmp_path, ANNOTATOR_MODE="server")
    assert read(tmp_path, ANNOTATOR_MODE="server", SECRET_KEY=LONG_KEY).secret_key == LONG_KEY
    assert not (tmp_path / "secret_key").exists()


def test_the_embedded_key_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    key = read(tmp_path).secret_key
    assert len(key) >= 32
    assert read(tmp_path).secret_key == key
    assert stat.S_IMODE((tmp_path / "secret_key").stat().st_mode) == 0o600


def test_processes_that_start_at_once_agree_on_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as threads:
        keys = set(threads.map(lambda _: read(tmp_path / "new").secret_key, range(64)))
    assert len(keys) == 1
    assert len(keys.pop()) >= 32


def test_an_empty_value_means_the_default(tmp_path: Path) -> None:
    assert read(tmp_path, ANNOTATOR_MAX_UPLOAD_MB="", REDIS_URL=" ") == read(tmp_path)


def test_the_documented_table_is_the_one_that_is_read() -> None:
    rows = re.findall(r"^\| `([A-Z_]+)` \| (.+?) \| (.+) \|$", (ROOT / "docs" / "configuration.md").read_text(), re.M)
    known = [(v.name, f"`{v.default}`" if v.default else "empty", v.meaning) for v in env.VARIABLES]
    assert rows == known
