"""Assets: addresses of scripts, styles and pictures that change with their content."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

from django import template
from django.conf import settings
from django.templatetags.static import static

register = template.Library()


@register.simple_tag
def asset(name: str) -> str:
    """The address of a file of ours: "label.js" is the built script, "css/base.css" and "img/icon.svg" lie as they are.

    The content's hash is its query, so that a browser that has kept an older one asks anew.
    """
    path = name if "/" in name else f"dist/{name}"
    file = Path(settings.BASE_DIR) / "static" / path
    try:
        modified = file.stat().st_mtime_ns
    except FileNotFoundError:
        return static(path)  # the front end is not built: the page still says all that needs no script
    return f"{static(path)}?v={_digest(file, modified)}"


@lru_cache(maxsize=256)
def _digest(file: Path, modified: int) -> str:
    return hashlib.blake2b(file.read_bytes(), digest_size=6).hexdigest()
