"""Phone numbers as people write them: read, and noticed among words."""

import random
import re
from uuid import UUID

import pytest

from smsretry.written_numbers import USUAL, country_of, holds_number, read_phone


@pytest.mark.parametrize(
    "written",
    [
        "+12125550191",
        "(212) 555-0191",
        "212-555-0191",
        "212.555.0191",
        "2125550191",
        "1 212 555 0191",
        "+1 212 555 0191",
        "tel:+1-212-555-0191",
        " +1 (212) 555–0191\n",
        "２１２-555-0191",
    ],
)
def test_a_number_of_the_us_is_read_in_every_way_of_writing_it(written: str) -> None:
    """Also with another kind of hyphen or digit."""
    assert read_phone(written) == "+12125550191"


@pytest.mark.parametrize(
    ("written", "country", "phone"),
    [
        ("020 7946 0958", "GB", "+442079460958"),
        ("07700 900123", "GB", "+447700900123"),
        ("+44 (0)20 7946 0958", None, "+442079460958"),
        ("0044 20 7946 0958", "GB", "+442079460958"),
        ("011 44 20 7946 0958", "US", "+442079460958"),
        ("030 901820", "DE", "+4930901820"),
        ("(436) 555-0191", None, "+14365550191"),
    ],
)
def test_a_number_of_another_country_is_read_by_its_country(written: str, country: str | None, phone: str) -> None:
    """Given by its code, or known. An area code that the library does not know is read as well."""
    assert read_phone(written, country=country) == phone


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("020 7946 0958", "The country or the area code of this number is not known"),
        ("555-0191", "The country or the area code of this number is not known"),
        ("212-555-0191 212-555-0192", "This is more than one phone number"),
        ("+12125550191, +12125550192", "This is more than one phone number"),
        ("Zane", "This is no phone number"),
        ("1-800-FLOWERS", "This is no phone number"),
        ("212-555-0191 x5", "This is no phone number"),
        ("+1 212 555 019", "Phone number has the wrong length for its country"),
    ],
)
def test_what_is_no_number_or_two_is_refused_and_not_quoted(written: str, why: str) -> None:
    """Never the first of two, never both in one."""
    with pytest.raises(ValueError, match=why) as refused:
        read_phone(written)
    assert written[-6:] not in str(refused.value)


def test_a_time_zone_tells_its_country() -> None:
    """By the zone data's own table; one that belongs to none tells nothing."""
    assert [country_of(zone) for zone in ("America/Chicago", "Europe/London", "UTC", "no zone")] == [
        "US",
        "GB",
        None,
        None,
    ]


NUMBERS = [
    "+12125550191", "212-555-0191", "(212) 555-0191", "(212)5550191", "212 5550191", "212.555.0191", "2125550191",
    "2 1 2 5 5 5 0 1 9 1", "212 555 01 91", "1 (212) 5550191", "212/555-0191", "212–555–0191", "２１２-555-0191",
    "555-0191", "(436) 555 0191", "07700 900123", "07700 900 123", "(0)7700 900123", "020 7946 0958", "(020) 7946 0958",
    "+44 (0)20 7946 0958", "0044 20 7946 0958", "01 23 45 67 89", "0171/1234567", "612 345 678", "98765 43210",
]  # fmt: skip
NO_NUMBERS = [
    "30007", "codes 30003 30007 30034", "30034 21211", "2 of 3 at 10:15", "2026-11-24", "24.11.2026",
    "11/24/2026 10:15", "2026-11-24T08:15-05:00", "2026-11-24 08:15:00.123456+00",
    "2026-11-24 10:15 2026-11-25 11:15", "08:00-21:00",
    "5b0c5f0e-6b0a-4a53-9d0c-0f5c1f6f2a11", "12345678-1234-1234-1234-123456789012",
    "SM01234567890123456789012345678901",
    "order 1234567", "order #12345678", "#555-1234", "ORD-2026-001234", "INV 2026/00123", "ticket 4711-0815",
    "$1,234,567.89", "1 234,50 €", "19.99 €", "1,000,000", "192.168.100.200", "v3.9.1", "New York 10118", "90210-1234",
    "10 15 20 25 30", "1 2 3 4 5 6 7 8 9", "rows 12-15 and 100-1000", "telephone, 24 November", "A hurricane",
    "Twilio was down from 10:15 to 10:45 on 24 November 2026", "Restored from the backup of 2027-01-12T17:00",
]  # fmt: skip


@pytest.mark.parametrize("number", NUMBERS)
def test_a_number_among_words_is_noticed(number: str) -> None:
    """Wherever it stands."""
    for words in (number, f"She rang from {number}, twice", f"On 2026-11-24 {number}.", f"Twice:\n{number}\n"):
        assert holds_number(words), words


@pytest.mark.parametrize("words", NO_NUMBERS)
def test_what_only_has_digits_is_no_number(words: str) -> None:
    """Dates, times, ids, codes, prices and short order numbers."""
    assert not holds_number(words)
    assert not holds_number(f"He says {words}, twice")


def test_random_ids_and_numbers_of_orders_are_no_phone_numbers() -> None:
    """A thousand of each."""
    dice = random.Random(19)
    for _ in range(1000):
        assert not holds_number(f"row {UUID(int=dice.getrandbits(128))}")
        assert not holds_number(f"order {dice.randint(2019, 2027)}-{dice.randint(0, 999_999):06}")
        assert not holds_number(f"{dice.randint(1, 9999)} of {dice.randint(1, 99_999)} at {dice.randint(10, 23)}:15")


def test_what_prefect_refuses_by_the_forms_pattern_the_check_refuses_too() -> None:
    """So nothing that the check takes is refused by the form."""
    assert any(re.search(USUAL, words) for words in NUMBERS)
    assert [words for words in NO_NUMBERS if re.search(USUAL, words)] == []
