"""How many segments a text is, at the edges of what one holds."""

from smsretry.retry.segments import segments

CASES = [
    ("", 1),
    ("a" * 160, 1),
    ("a" * 161, 2),
    ("a" * 306, 2),
    ("a" * 307, 3),
    ("é" * 160, 1),
    # of the extension table: two places each
    ("€" * 80, 1),
    ("€" * 81, 2),
    # and never split between two messages: 152 and two, and then the rest
    ("a" * 152 + "€" + "a" * 151, 2),
    ("a" * 152 + "€" + "a" * 152, 3),
    # one character outside the alphabet, and the whole is UCS-2
    ("ê" + "a" * 69, 1),
    ("ê" + "a" * 70, 2),
    ("a" * 134, 1),
    ("ê" + "a" * 133, 2),
    ("ê" + "a" * 134, 3),
    ("😀" * 35, 1),
    ("😀" * 36, 2),
    # 33 pairs and a place that the next pair does not fit into
    ("😀" * 66, 2),
    ("😀" * 67, 3),
    ("“quoted”", 1),
]


def test_a_text_has_so_many_segments() -> None:
    """As GSM 03.38 and UCS-2 have it."""
    for body, count in CASES:
        assert segments(body) == count, body
