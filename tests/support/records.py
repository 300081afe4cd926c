"""Rows and other records, by the names of their fields."""

from collections.abc import Mapping
from typing import Any

import psycopg

Record = dict[str, Any]
Connection = psycopg.Connection[Record]


def columns(record: Mapping[str, Any], *names: str) -> tuple[Any, ...]:
    """These of its fields."""
    return tuple(record[name] for name in names)
