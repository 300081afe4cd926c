"""The list of breaks is true of the schema as it is; `python -m tests.proofs.breaks` tries them."""

from smsretry.local.stack import Stack
from tests.proofs.breaks.every import SUBJECTS


def test_each_break_replaces_one_text_of_its_function(stack: Stack) -> None:
    """Its text is there exactly once: otherwise it would break nothing, or more than it says."""
    with stack.connect() as connection:
        found = {
            name: connection.execute(
                "select pg_get_functiondef(%s::regproc) as sql", [broken.function]
            ).fetchall()[0]["sql"].count(broken.text)
            for breaks in SUBJECTS.values()
            for name, broken in breaks.items()
        }  # fmt: skip

    assert {name: times for name, times in found.items() if times != 1} == {}
