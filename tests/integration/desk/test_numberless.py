"""Words that are kept: what SQL masks in them, the forms refuse before."""

from smsretry.written_numbers import holds_number
from tests.conftest import Business
from tests.unit.test_written_numbers import NO_NUMBERS, NUMBERS


def masked(business: Business, words: str) -> bool:
    """Whether `smsretry.numberless` leaves something out of them."""
    shown = business.connection.execute(
        "select smsretry.numberless(%s) as words", [words]
    ).fetchone()
    assert shown
    return bool(shown["words"] != words)


def test_what_sql_masks_the_form_refuses(business: Business) -> None:
    """Otherwise somebody's words would be kept with a hole in them, or refused by the database after the form."""
    for words in (*NUMBERS, *NO_NUMBERS):
        for shown in (
            words,
            f"from {words}, twice",
            f"x{words}",
            f"é{words}",
            f"-{words}",
            f"{words}0",
        ):
            assert holds_number(shown) or not masked(business, shown), shown
