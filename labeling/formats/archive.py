"""Archives: the images of a zip, each checked before it is unpacked, with labels from folders or from a table."""

from __future__ import annotations

import stat
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import BinaryIO

from django.utils.translation import gettext as _

from labeling.errors import BadFile
from labeling.formats import limits
from labeling.formats.images import look
from labeling.formats.rows import Bad, Picture

JUNK = frozenset({".ds_store", "thumbs.db", "desktop.ini", ".gitattributes", ".gitignore"})
BESIDE = frozenset({"certificate.json", "data-card.md", "data-card.html"})  # what our exports put beside the data
ABOUT = ("readme", "license", "licence", "copying", "notice", "changelog")
NESTED = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".rar", ".jar")
TABLES = (".jsonl", ".ndjson", ".csv", ".tsv", ".json", ".parquet", ".txt")
# fmt: off
SPLITS = frozenset([
    "train", "training", "test", "testing", "val", "valid", "validation", "dev", "images", "image", "imgs", "img",
    "data", "all",
])
# fmt: on
COPY = 1 << 20  # bytes


@dataclass(slots=True)
class Contents:
    """What lies in an archive, by kind; paths as the archive's writer meant them."""

    files: list[tuple[str, zipfile.ZipInfo]] = field(default_factory=list)  # whatever could be an image
    tables: list[tuple[str, zipfile.ZipInfo]] = field(default_factory=list)
    refused: list[tuple[str, Bad]] = field(default_factory=list)
    encoding: str = "utf-8"  # of the paths

    @property
    def classes(self) -> frozenset[str]:
        """The folders' names, where there is a folder per class; else nothing."""
        folders = {folder_of(path) for path, _info in self.files}
        if len(folders) < 2 or {folder.lower() for folder in folders} <= SPLITS | {""}:
            return frozenset()
        return frozenset(folders - {""})


@contextmanager
def opened(file: BinaryIO) -> Iterator[zipfile.ZipFile]:
    """The archive, if its directory promises nothing unreasonable; raises BadFile."""
    try:
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise BadFile(_("The zip file is broken: %(error)s.") % {"error": error}) from error
    with archive:
        _promises(archive, file)
        yield archive


def contents(archive: zipfile.ZipFile) -> Contents:
    """Sort the archive's members by kind; operating systems' leftovers are left out without a word."""
    found = Contents()
    recode, found.encoding = _path_encoding(archive)
    for info in archive.infolist():
        path = _recoded(info, found.encoding) if recode else info.filename
        name = PurePosixPath(path).name.lower()
        if info.is_dir() or path.startswith("__MACOSX/") or "/__MACOSX/" in path or name.startswith("._"):
            continue
        if name in JUNK | BESIDE or name.startswith(ABOUT):
            continue
        if bad := _refused(info, path):
            found.refused.append((path, bad))
        elif name.endswith(TABLES):
            found.tables.append((path, info))
        else:
            found.files.append((path, info))
    return found


def folder_of(path: str) -> str:
    """The name of the folder right above a file; "" at the top."""
    return PurePosixPath(path).parent.name


def content_of(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """An image's bytes; raises Bad where it is too large, whatever the directory says, or broken."""
    too_large = Bad("too_large", _("The image is larger than %(limit)d MB.") % {"limit": limits.MAX_IMAGE_BYTES >> 20})
    if info.file_size > limits.MAX_IMAGE_BYTES:
        raise too_large
    try:
        with archive.open(info) as member:
            content = member.read(limits.MAX_IMAGE_BYTES + 1)
    except Exception as error:
        # zlib.error, BadZipFile, EOFError, NotImplementedError: the decoders' own words for broken bytes.
        raise Bad("broken_image", _("It cannot be unpacked: %(error)s.") % {"error": str(error)[:200]}) from error
    if len(content) > limits.MAX_IMAGE_BYTES:
        raise too_large
    return content


def picture_of(archive: zipfile.ZipFile, path: str, info: zipfile.ZipInfo) -> Picture:
    """The image behind a path, looked into; raises Bad."""
    content = content_of(archive, info)
    if content.startswith((b"PK\3\4", b"\x1f\x8b", b"Rar!", b"7z\xbc\xaf")):
        raise Bad("nested_archive", _("It is an archive within the archive; unpack it first."))
    return look(content, path)


@contextmanager
def unpacked(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[BinaryIO]:
    """A table of the archive as a temporary file of its own; raises BadFile."""
    with tempfile.TemporaryFile() as copy:
        size = 0
        try:
            with archive.open(info) as member:
                while chunk := member.read(COPY):
                    size += len(chunk)
                    if size > limits.MAX_TABLE:
                        raise BadFile(_("“%(name)s” in the archive unpacks to too much.") % {"name": info.filename})
                    copy.write(chunk)
        except (zipfile.BadZipFile, EOFError, NotImplementedError, OSError, RuntimeError) as error:
            raise BadFile(
                _("“%(name)s” cannot be unpacked: %(error)s.") % {"name": info.filename, "error": error}
            ) from error
        copy.seek(0)
        yield copy


def _promises(archive: zipfile.ZipFile, file: BinaryIO) -> None:
    infos = archive.infolist()
    if len(infos) > limits.MAX_MEMBERS:
        raise BadFile(_("The archive holds %(n)d files; %(limit)d are allowed. Split it.") % {
            "n": len(infos), "limit": limits.MAX_MEMBERS})  # fmt: skip
    size = file.seek(0, 2)
    packed = sum(info.compress_size for info in infos)
    unpacked_size = sum(info.file_size for info in infos)
    if any("xl/workbook.xml" in info.filename for info in infos):
        raise BadFile(_("This is an Excel workbook; save the sheet as CSV (UTF-8)."))
    # Members that share bytes let a small file unpack to terabytes without any high ratio (Fifield 2019).
    if packed > size:
        raise BadFile(_("The archive's files overlap, as in a zip bomb."))
    if unpacked_size > limits.MAX_UNPACKED or (
        unpacked_size > limits.RATIO_FROM and unpacked_size > limits.MAX_RATIO * max(packed, 1)
    ):
        raise BadFile(
            _("The archive of %(packed)d MB would unpack to %(unpacked)d MB, as a zip bomb does.")
            % {"packed": size >> 20, "unpacked": unpacked_size >> 20}
        )


def _refused(info: zipfile.ZipInfo, path: str) -> Bad | None:
    parts = path.replace("\\", "/").split("/")
    if path.startswith(("/", "\\")) or ".." in parts or parts[0].endswith(":"):
        return Bad("unsafe_path", _("Its path leads out of the archive."))
    if stat.S_ISLNK(info.external_attr >> 16):
        return Bad("symlink", _("It is a symbolic link."))
    if info.flag_bits & 1:
        return Bad("encrypted", _("It is encrypted; make the archive without a password."))
    if path.lower().endswith(NESTED):
        return Bad("nested_archive", _("It is an archive within the archive; unpack it first."))
    if len(path) > limits.MAX_NAME:
        return Bad("too_long", _("Its path has more than %(limit)d characters.") % {"limit": limits.MAX_NAME})
    return None


def _path_encoding(archive: zipfile.ZipFile) -> tuple[bool, str]:
    """Whether unflagged paths need decoding, and from what: zipfile takes them all for IBM's code page 437."""
    raw = [name for info in archive.infolist() if (name := _raw(info)) is not None]
    for encoding in ("utf-8", "gb18030") if raw else ():
        try:
            for name in raw:
                name.decode(encoding)
        except UnicodeDecodeError:
            continue
        return True, encoding
    return False, "cp437" if raw else "utf-8"


def _recoded(info: zipfile.ZipInfo, encoding: str) -> str:
    raw = _raw(info)
    return info.filename if raw is None else raw.decode(encoding)


def _raw(info: zipfile.ZipInfo) -> bytes | None:
    """The path's bytes; None where zipfile already knows better (the UTF-8 flag, Info-ZIP's Unicode path)."""
    if info.flag_bits & 0x800 or info.filename.isascii():
        return None
    try:
        return info.filename.encode("cp437")
    except UnicodeEncodeError:
        return None
