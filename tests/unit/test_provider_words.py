"""The story names no provider: what only one of them has is in its adapter, and people are told of "the provider"."""

import re
from pathlib import Path
from typing import Final

import pytest

import smsretry

PACKAGE: Final = Path(smsretry.__file__).parent
STORED: Final = re.compile(r"twilio_(sid|error)\b")
"""Names of columns, parameters and values that are stored: the application's contract, whatever the provider."""
VENDOR: Final = re.compile(r"twilio|\bSM\b.*\bMM\b|\b(SM|MM|MG|AC|SK)\[", re.IGNORECASE)


@pytest.mark.parametrize("room", ["sending", "retry", "desk", "cli"])
def test_no_room_of_the_story_names_a_provider(room: str) -> None:
    """Neither in code nor in prose."""
    files = sorted((PACKAGE / room).rglob("*.py"))
    assert files
    found = [
        f"{file.relative_to(PACKAGE)}:{number}: {line.strip()}"
        for file in files
        for number, line in enumerate(file.read_text().splitlines(), start=1)
        if VENDOR.search(STORED.sub("", line))
    ]
    assert found == []
