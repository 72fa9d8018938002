"""Contents: what an item shows, as encoders take it."""

from __future__ import annotations

from django.core.files.storage import default_storage

from labeling.models import Item


def content(item: Item) -> str | bytes:
    """The item's text, or its image file's bytes; none where the file is gone, which the encoder reports."""
    if not item.image:
        return item.text
    try:
        with default_storage.open(item.image) as file:
            return bytes(file.read())
    except FileNotFoundError:
        return b""
