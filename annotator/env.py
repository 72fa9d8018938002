"""Environment: every variable the application reads, with its default, validated at start."""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

BASE_DIR = Path(__file__).resolve().parent.parent


class BadSetting(SystemExit):
    """An environment variable that cannot be used; ends the process with a sentence that names the way out."""

    def __init__(self, name: str, value: str, way_out: str) -> None:
        super().__init__(f"{name}={value!r} cannot be used: {way_out}")


@dataclass(frozen=True)
class Variable:
    """One environment variable: its name, what it means and what holds when it is absent."""

    name: str
    default: str
    meaning: str


VARIABLES = (
    Variable("ANNOTATOR_MODE", "embedded", "`embedded` (all on this machine) or `server`."),
    Variable("ANNOTATOR_DATA_DIR", "data", "Folder for the database, uploads, vectors, logs and the secret key."),
    Variable("ANNOTATOR_CACHE_DIR", "", "Folder for local copies of arrays; `cache` in the data folder if empty."),
    Variable(
        "DATABASE_URL",
        "",
        "`postgres://user:password@host/name` or `sqlite:///path`; SQLite in the data folder if empty.",
    ),
    Variable(
        "REDIS_URL",
        "redis://127.0.0.1:6379/0",
        "Redis-compatible server: `redis://`, `rediss://` or `redis+socket://`.",
    ),
    Variable(
        "ANNOTATOR_STORAGE_URL",
        "",
        "`file:///path`: where uploads, images, vectors and exports are kept; `files` in the data folder if empty.",
    ),
    Variable(
        "SECRET_KEY",
        "",
        "At least 32 characters. Made on first start when embedded; required in server mode.",
    ),
    Variable(
        "ANNOTATOR_ALLOWED_HOSTS",
        "127.0.0.1,localhost,[::1]",
        "Host names the application answers to, with commas between.",
    ),
    Variable("ANNOTATOR_HTTPS", "0", "`1` when served over HTTPS: cookies are then sent over HTTPS only."),
    Variable("ANNOTATOR_DEBUG", "0", "`1` shows Django's error pages. Never where others can reach it."),
    Variable("ANNOTATOR_TEXT_ENCODER", "auto", "`auto`, `minilm`, `multilingual` or `sentence-transformers:NAME`."),
    Variable("ANNOTATOR_IMAGE_ENCODER", "auto", "`auto`, `efficientnet-lite0`, `pixels` or `conv4`."),
    Variable("ANNOTATOR_MAX_UPLOAD_MB", "2048", "Largest upload in megabytes."),
    Variable(
        "ANNOTATOR_KEPT_STATES",
        "20000",
        "Items of a project, the first ones, of which the encoder's hidden states are kept (10 to 50 KB each) so that"
        " it learns faster; the others are read anew each time. `0`: none.",
    ),
    Variable(
        "ANNOTATOR_TUNED_ITEMS",
        "100000",
        "Items up to which a project's encoder learns from its answers, in the background. That takes some 11 ms of "
        "CPU an item each time, and 4 KB an item are kept of each of the last two times, which the worker that learns "
        "also holds in memory. `0`: never.",
    ),
)


@dataclass(frozen=True)
class Environment:
    """The validated environment."""

    mode: str
    data_dir: Path
    cache_dir: Path
    database_url: str
    redis_url: str
    storage_url: str
    secret_key: str
    allowed_hosts: list[str]
    https: bool
    debug: bool
    text_encoder: str
    image_encoder: str
    max_upload_mb: int
    kept_states: int
    tuned_items: int

    @property
    def redis_client_url(self) -> str:
        """The address as redis-py spells it (kombu says redis+socket:// where redis-py says unix://)."""
        return self.redis_url.replace("redis+socket://", "unix://", 1)


def read(environ: Mapping[str, str] = os.environ) -> Environment:
    """Read and validate every variable.

    Raises BadSetting (which ends the process) for a value that cannot be used.
    """
    values = {v.name: environ.get(v.name, "").strip() or v.default for v in VARIABLES}
    mode = _one_of(values, "ANNOTATOR_MODE", ("embedded", "server"))
    data_dir = (BASE_DIR / values["ANNOTATOR_DATA_DIR"]).resolve()
    return Environment(
        mode=mode,
        data_dir=data_dir,
        cache_dir=Path(values["ANNOTATOR_CACHE_DIR"] or data_dir / "cache"),
        database_url=_url(values, "DATABASE_URL", ("postgres", "postgresql", "sqlite"))
        or f"sqlite:///{data_dir / 'annotator.sqlite3'}",
        redis_url=_url(values, "REDIS_URL", ("redis", "rediss", "redis+socket")),
        storage_url=_url(values, "ANNOTATOR_STORAGE_URL", ("file",)) or f"file://{data_dir / 'files'}",
        secret_key=_secret_key(values["SECRET_KEY"], mode, data_dir),
        allowed_hosts=[host.strip() for host in values["ANNOTATOR_ALLOWED_HOSTS"].split(",") if host.strip()],
        https=_flag(values, "ANNOTATOR_HTTPS"),
        debug=_flag(values, "ANNOTATOR_DEBUG"),
        text_encoder=_encoder(values, "ANNOTATOR_TEXT_ENCODER", ("auto", "minilm", "multilingual")),
        image_encoder=_encoder(values, "ANNOTATOR_IMAGE_ENCODER", ("auto", "efficientnet-lite0", "pixels", "conv4")),
        max_upload_mb=_positive(values, "ANNOTATOR_MAX_UPLOAD_MB"),
        kept_states=_count(values, "ANNOTATOR_KEPT_STATES"),
        tuned_items=_count(values, "ANNOTATOR_TUNED_ITEMS"),
    )


def _one_of(values: Mapping[str, str], name: str, allowed: tuple[str, ...]) -> str:
    if values[name] not in allowed:
        raise BadSetting(name, values[name], f"give one of {', '.join(allowed)}.")
    return values[name]


def _flag(values: Mapping[str, str], name: str) -> bool:
    return _one_of(values, name, ("0", "1")) == "1"


def _positive(values: Mapping[str, str], name: str) -> int:
    if not values[name].isdigit() or int(values[name]) == 0:
        raise BadSetting(name, values[name], "give a whole number above 0.")
    return int(values[name])


def _count(values: Mapping[str, str], name: str) -> int:
    if not values[name].isdigit():
        raise BadSetting(name, values[name], "give a whole number, 0 or more.")
    return int(values[name])


def _url(values: Mapping[str, str], name: str, schemes: tuple[str, ...]) -> str:
    if values[name] and urlsplit(values[name]).scheme not in schemes:
        raise BadSetting(name, values[name], f"it must begin with one of {', '.join(s + '://' for s in schemes)}.")
    return values[name]


def _encoder(values: Mapping[str, str], name: str, allowed: tuple[str, ...]) -> str:
    if values[name].startswith("sentence-transformers:") and name == "ANNOTATOR_TEXT_ENCODER":
        return values[name]
    return _one_of(values, name, allowed)


def _secret_key(given: str, mode: str, data_dir: Path) -> str:
    """The given key, else (embedded mode only) the one kept in the data folder, made on first use."""
    if given:
        if len(given) < 32:
            raise BadSetting("SECRET_KEY", "…", "give at least 32 random characters.")
        return given
    if mode == "server":
        raise BadSetting("SECRET_KEY", "", "server mode needs one; give at least 32 random characters.")
    return _kept_key(data_dir / "secret_key")


def _kept_key(path: Path) -> str:
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, whole = tempfile.mkstemp(dir=path.parent)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(48))
        # A link appears whole and only once, so that processes that start together agree on one key.
        with contextlib.suppress(FileExistsError):
            os.link(whole, path)
        os.unlink(whole)
    return path.read_text().strip()
