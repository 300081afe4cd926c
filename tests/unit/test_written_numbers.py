"""Phone numbers as people write them: read, and noticed among words."""

import pytest

from smsretry.written_numbers import holds_number, read_phone

READ = {
    "+12125550191": [
        "+12125550191", "(212) 555-0191", "212-555-0191", "212.555.0191", "2125550191", "1 212 555 0191",
        "+1 212 555 0191", "tel:+1-212-555-0191", " +1 (212) 555–0191\n", "２１２-555-0191",
    ],
    "+442079460958": ["+44 (0)20 7946 0958", "+44 20 7946 0958"],
    "+14365550191": ["(436) 555-0191"],
}  # fmt: skip


def test_a_number_is_read_in_every_way_of_writing_it() -> None:
    """Also with another kind of hyphen or digit. An area code that the library does not know is read as well."""
    for phone, ways in READ.items():
        for written in ways:
            assert read_phone(written) == phone, written


def test_what_is_no_number_or_two_is_refused_and_not_quoted() -> None:
    """Never the first of two, never both in one."""
    for written, problem in (
        ("020 7946 0958", "country or the area code"),
        ("555-0191", "country or the area code"),
        ("212-555-0191 212-555-0192", "more than one"),
        ("+12125550191, +12125550192", "more than one"),
        ("Zane", "no phone number"),
        ("1-800-FLOWERS", "no phone number"),
        ("212-555-0191 x5", "no phone number"),
        ("+1 212 555 019", "wrong length"),
    ):
        with pytest.raises(ValueError, match=problem) as refused:
            read_phone(written)
        assert written[-6:] not in str(refused.value)


NUMBERS = [
    "+12125550191", "212-555-0191", "(212) 555-0191", "(212)5550191", "212 5550191", "212.555.0191", "2125550191",
    "1 (212) 5550191", "212/555-0191", "212–555–0191", "２１２-555-0191",
    "555-0191", "(436) 555 0191", "07700 900123", "07700 900 123", "(0)7700 900123", "020 7946 0958", "(020) 7946 0958",
    "+44 (0)20 7946 0958", "0044 20 7946 0958", "01 23 45 67 89", "0171/1234567",
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


def test_a_number_among_words_is_noticed_and_what_only_has_digits_is_none() -> None:
    """Wherever it stands. Dates, times, ids, codes, prices and short order numbers are none."""
    for number in NUMBERS:
        for words in (
            number,
            f"She rang from {number}, twice",
            f"On 2026-11-24 {number}.",
            f"Twice:\n{number}\n",
        ):
            assert holds_number(words), words
    for harmless in NO_NUMBERS:
        for words in (harmless, f"He says {harmless}, twice"):
            assert not holds_number(words), words
