"""How many segments a text has, which a sender's rate counts and the bill, too.

GSM 03.38 packs 160 characters of its alphabet into one SMS, or 153 into each of several; those of its extension table
take two places. One character outside both makes the whole text UCS-2: 70 UTF-16 units, or 67 in each of several.
(3GPP TS 23.038, which providers bill by.)
"""

from collections.abc import Sequence
from typing import Final

_BASIC: Final = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENSION: Final = frozenset("\f^{}\\[~]|€")


def segments(body: str) -> int:
    """The segments of this text, at least one.

    A provider that replaces typographic characters by plain ones can only make it fewer.
    """
    if all(character in _BASIC or character in _EXTENSION for character in body):
        return _pieces(
            [2 if character in _EXTENSION else 1 for character in body],
            whole=160,
            part=153,
        )
    return _pieces(
        [2 if ord(character) > 0xFFFF else 1 for character in body], whole=70, part=67
    )


def _pieces(sizes: Sequence[int], *, whole: int, part: int) -> int:
    """How many messages characters of these sizes fill. No character is split between two."""
    if sum(sizes) <= whole:
        return 1
    pieces, available = 1, part
    for size in sizes:
        if size > available:
            pieces, available = pieces + 1, part
        available -= size
    return pieces
