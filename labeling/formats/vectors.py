"""Vectors that users bring along, as NumPy files: .npy in the order of the items' rows, or .npz with their names."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from django.utils.translation import gettext as _
from jaxtyping import Float, Int

from labeling.errors import BadFile


@dataclass(frozen=True, eq=False)
class BroughtVectors:
    """Vectors, and whose they are: by row, or by external id; neither means the project's first rows in order."""

    vectors: Float[np.ndarray, "n dim"]
    rows: Int[np.ndarray, " n"] | None = None
    external_ids: list[str] | None = None


def read(path: Path) -> BroughtVectors:
    """Read a .npy, or a .npz with `vectors` and `external_ids` or `rows`. Raises BadFile."""
    try:
        # Never pickled objects: unpickling a stranger's file runs the stranger's code.
        loaded = np.load(path, allow_pickle=False)
        arrays = {"vectors": loaded} if isinstance(loaded, np.ndarray) else dict(loaded)
    except (ValueError, EOFError, OSError, zipfile.BadZipFile, zipfile.LargeZipFile) as error:
        message = _("%(name)s is no file of NumPy arrays (%(reason)s). Save it with numpy.save or numpy.savez.")
        raise BadFile(message % {"name": path.name, "reason": error}) from error
    vectors = arrays.get("vectors")
    if vectors is None or vectors.ndim != 2 or vectors.dtype.kind not in "fiu":
        message = _("%(name)s must hold numbers in a table “vectors”: a row of it for each item.")
        raise BadFile(message % {"name": path.name})
    rows, ids = arrays.get("rows"), arrays.get("external_ids")
    for name, owners in (("rows", rows), ("external_ids", ids)):
        if owners is not None and owners.shape != (len(vectors),):
            message = _("%(name)s has %(vectors)s vectors and %(owners)s %(what)s; there must be as many.")
            facts = {"name": path.name, "vectors": len(vectors), "owners": owners.size, "what": name}
            raise BadFile(message % facts)
    if rows is not None and rows.dtype.kind not in "iu":
        raise BadFile(_("The “rows” in %(name)s must be whole numbers, 0 first.") % {"name": path.name})
    return BroughtVectors(
        vectors,
        None if rows is None else rows.astype(np.int64),
        None if ids is None else [str(own) for own in ids.tolist()],
    )
