"""Translations: .po catalogues compiled to the .mo files that Django reads, without gettext's own tools."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import polib


def compile_catalogue(source: Path) -> Path:
    """Write the .mo beside a .po and return it. Raises OSError for a file that polib cannot parse."""
    product = source.with_suffix(".mo")
    polib.pofile(str(source)).save_as_mofile(str(product))
    return product


def main(sources: Sequence[str]) -> int:
    for source in sources:
        sys.stdout.write(f"{compile_catalogue(Path(source))}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
