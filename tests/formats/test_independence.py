"""Formats turn bytes into plain values: they load no database and no rows."""

from __future__ import annotations

import subprocess
import sys

LOADED = (
    "import sys, labeling.formats; print(*(m for m in sys.modules if m in ('django.db', 'labeling.models', 'torch')))"
)


def test_formats_load_no_database() -> None:
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
