"""Names: label names as the words they stand for."""

from __future__ import annotations

import re

# "cardArrival" between the small and the large letter, "HTTPError" before the last large letter of a run.
HUMPS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
SEPARATORS = re.compile(r"[\s_\-./:|]+")


def words(name: str) -> str:
    """The name with spaces between its words: "card_arrival", "cardArrival" and "card-arrival" are "card arrival".

    What is written in words already keeps its points and hyphens; a name of nothing but separators stays as it is.
    """
    if " " in name.strip():
        return name.replace("_", " ").strip()
    return SEPARATORS.sub(" ", HUMPS.sub(" ", name)).strip() or name
