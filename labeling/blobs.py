"""Blobs: files in Django's file storage that are whole or not there, and local copies of them to map into memory."""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import IO

from django.conf import settings
from django.core.files import File
from django.core.files.storage import FileSystemStorage, default_storage

Writer = Callable[[IO[bytes]], object]
PART = ".part"  # what a temporary file's name ends with
ABANDONED_SECONDS = 24 * 60 * 60


def write(name: str, writer: Writer) -> None:
    """Store what `writer` writes into the file it is given; a reader sees the old content or the new, never less.

    Django's FileSystemStorage writes to the final name at once, so a process killed then would leave half a file:
    in a folder, the bytes go to a temporary file beside it, which is moved to its name when they are on the disk.
    """
    if (path := local_path(name)) is not None:
        write_whole(path, writer)
        return
    with SpooledTemporaryFile(max_size=64 * 1024 * 1024) as file:
        writer(file)
        _save(name, file)
    cached_path(name).unlink(missing_ok=True)


def read(name: str, most: int = -1) -> bytes | None:
    """The blob's content, or its first `most` bytes; None where there is no such blob."""
    try:
        with default_storage.open(name) as file:
            return bytes(file.read(most))
    except FileNotFoundError:
        return None


def local(name: str) -> Path | None:
    """A file on this machine with the blob's content: itself in a folder, else a copy fetched once; None without blob.

    A copy is not fetched again, so only blobs that are written once may be read so: give new content a new name.
    """
    if (path := local_path(name)) is not None:
        return path if path.exists() else None
    copy = cached_path(name)
    if copy.exists():
        return copy
    try:
        with default_storage.open(name) as source:
            write_whole(copy, lambda file: shutil.copyfileobj(source, file))
    except FileNotFoundError:
        return None
    return copy


def exists(name: str) -> bool:
    """Whether there is such a blob."""
    return bool(default_storage.exists(name))


def names(folder: str) -> list[str]:
    """The names of the whole blobs in a folder, without the folder, sorted; none where there is no such folder."""
    try:
        _, found = default_storage.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(name for name in found if not name.endswith(PART))


def delete(name: str) -> None:
    """Remove a blob and its local copy, if they are there."""
    default_storage.delete(name)
    if local_path(name) is None:
        cached_path(name).unlink(missing_ok=True)


def delete_folder(folder: str) -> None:
    """Remove a folder with all that is in it, here and in storage."""
    try:
        inner, found = default_storage.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        inner, found = [], []
    for name in inner:
        delete_folder(f"{folder}/{name}")
    for name in found:
        default_storage.delete(f"{folder}/{name}")
    if (path := local_path(folder)) is not None and path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    shutil.rmtree(cached_path(folder), ignore_errors=True)


def cached_path(name: str) -> Path:
    """Where the local copy of a blob or a folder of them lies, or would lie."""
    return Path(settings.ANNOTATOR_CACHE_DIR) / name


def local_path(name: str) -> Path | None:
    """The blob's own place on this machine's disk; None where storage is elsewhere."""
    # Asking the storage is not enough: the one in memory gives a path at which there is nothing.
    return Path(default_storage.path(name)) if isinstance(default_storage, FileSystemStorage) else None


def write_whole(path: Path, writer: Writer) -> None:
    """Write a local file so that at any moment it is the old one or the whole new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}{PART}")
    try:
        with open(part, "xb") as file:
            writer(file)
            file.flush()
            # Without it a power cut may leave the new name on an empty file.
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def sweep(folder: str, now: float | None = None) -> None:
    """Remove the temporary files that a killed process left in a folder at least a day ago (`now`: a Unix time)."""
    path = local_path(folder)
    if path is None or not path.is_dir():
        return
    before = (time.time() if now is None else now) - ABANDONED_SECONDS
    for part in path.glob(f".*{PART}"):
        try:
            if part.stat().st_mtime < before:
                part.unlink()
        except FileNotFoundError:
            continue  # another process swept it


def _save(name: str, file: IO[bytes]) -> None:
    file.seek(0)
    saved = default_storage.save(name, File(file))
    if saved == name:
        return
    # This storage does not overwrite: it took another name. The object stores that do replace at once.
    default_storage.delete(saved)
    default_storage.delete(name)
    file.seek(0)
    default_storage.save(name, File(file))
