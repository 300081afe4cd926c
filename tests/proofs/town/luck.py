"""Chance that a seed decides: the same seed gives the same run."""

import hashlib
from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid5

_NAMESPACE = UUID("6f1c1d0e-52a1-4f8e-9d57-2f8a1d0c7b11")


def dice(*parts: object) -> float:
    """A number in [0, 1) that the parts alone decide."""
    digest = hashlib.sha256(":".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64


def pick(options: Sequence[Any], *parts: object) -> Any:
    """One of the options, decided by the parts alone."""
    return options[int(dice("pick", *parts) * len(options))]


def new_id(*parts: object) -> UUID:
    """An id that the parts alone decide."""
    return uuid5(_NAMESPACE, "/".join(map(str, parts)))
