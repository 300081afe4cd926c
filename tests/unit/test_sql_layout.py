"""SQL is laid out so that a line holds one thing: a column, a condition or a join."""

import re

from smsretry.adapters.migrations.schemas import schema_files


def test_a_line_of_sql_holds_one_thing() -> None:
    """Without comments a line has 42 characters on average at most, and three in a hundred have more than 100."""
    lines = [
        re.sub(r"--.*", "", line).rstrip()
        for file in schema_files()
        for line in file.text.splitlines()
    ]
    lengths = [len(line) for line in lines if line]
    assert sum(lengths) <= 42 * len(lengths)
    assert sum(length > 100 for length in lengths) <= 0.03 * len(lengths)
