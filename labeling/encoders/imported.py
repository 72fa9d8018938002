"""Imported: vectors that the user brought along; nothing here can make more of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

from django.utils.translation import gettext as _

from labeling.encoders.base import EncoderUnavailable


class Imported:
    """Stands for vectors that came with a file. `dimension` 0: that of the file."""

    name = "imported"
    dimension = 0
    modality = ""

    def encode(self, items: Sequence[Any]) -> NoReturn:
        """Never: raises EncoderUnavailable."""
        raise EncoderUnavailable(
            _("This project's vectors were imported. Import vectors for the new items too, or choose another encoder.")
        )

    def encode_names(self, names: Sequence[str]) -> None:
        """None: nobody can say where a name lies among imported vectors."""
