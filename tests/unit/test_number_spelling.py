"""One number is one number: its only spelling is the E.164 that libphonenumber writes."""

import re

import phonenumbers
import pytest
from phonenumbers import PhoneMetadata, PhoneNumberFormat, PhoneNumberType

from smsretry.adapters.twilio.checks import sender_problem
from smsretry.phone import e164, spelling_problem
from smsretry.quiet_hours.check import check_quiet_hours
from smsretry.retry.backoff import HELD_LOOK
from smsretry.retry.before import before_send
from smsretry.retry.decision import Hold, Send
from smsretry.written_numbers import read_phone
from tests.support.builders import NOON, claim_with

LONDON = {"timezone": "Europe/London", "business_timezone": "Europe/London"}

MISSPELLED = [
    # as it is stored, as it is spelled, how that is said
    ("+4407700900123", "+447700900123", "+44 and 10 digits, without the 0"),
    ("+44 (0)7700 900123", "+447700900123", "+44 and 10 digits, without the 0"),
    ("+44 7700 900123", "+447700900123", "+44 and 10 digits, and nothing else"),
    ("+49015112345678", "+4915112345678", "+49 and 11 digits, without the 0"),
    ("+3606201234567", "+36201234567", "+36 and 9 digits, without the 06"),
    ("+112125550123", "+12125550123", "+1 and 10 digits, without the 1"),
    ("+1 (212) 555-0123", "+12125550123", "+1 and 10 digits, and nothing else"),
    (
        "+378802555",
        "+3780549802555",
        "+378 and 10 digits, and nothing else",
    ),  # San Marino: 0549 is its own
    ("+54111523456789", "+5491123456789", "+54 and 11 digits, and nothing else"),
    # without its country code: it may be from there
    *[
        (written, "+12125550123", "+1 and 10 digits, if it is from there")
        for written in (
            *(
                "(212) 555-0123",
                "212-555-0123",
                "212.555.0123",
                "2125550123",
                "12125550123",
                "1-212-555-0123",
            ),
            *("001 212 555 0123", "２１２５５５０１２３", "2125550123 "),
        )
    ],
    ("0044 7700 900123", "+447700900123", "+44 and 10 digits, if it is from there"),
    ("011 44 7700 900123", "+447700900123", "+44 and 10 digits, if it is from there"),
    ("447700900123", "+447700900123", "+44 and 10 digits, if it is from there"),
    # as Mexico's mobiles were dialed until 2019
    ("+5215512345678", "+525512345678", "+52 and 10 digits, without the 1"),
    # which country?
    ("07700 900123", "+447700900123", "write a plus sign, the country code"),
    ("98765 43210", "+447700900123", "write a plus sign, the country code"),
    ("+2125550123", "+12125550123", "wrong length for its country"),
    ("+1212555012", "+12125550123", "wrong length for its country"),
    ("+12125550123, +12125550124", "+12125550123", "write a plus sign"),
    ("+9992125550123", "+12125550123", "no known country code"),
]
SPELLED = [
    "+447700900123",
    "+12125550123",
    "+390612345678",  # Rome: the 0 is the number's
    "+39612345678",  # without it, it is another number of Italy's
    "+3780549886377",
    "+2250102030405",
    "+24106123456",
    "+881612345678",
]


def test_a_text_to_a_number_in_another_spelling_is_held_and_says_how_to_write_it() -> (
    None
):
    """It had gone out: twice when in doubt, and its STOP was another number's."""
    for stored, spelled, words in MISSPELLED:
        decision = before_send(claim_with(phone=stored, **LONDON), at=NOON)
        assert isinstance(decision, Hold)
        assert (decision.why_code, decision.due_in) == ("number_spelling", HELD_LOOK)
        assert words in decision.why
        if stored.startswith("+") and "and nothing else" in words:
            assert e164(stored) == spelled
        assert not re.search(r"[0-9]{5}", decision.why), "it must not tell the number"
        assert isinstance(
            before_send(claim_with(phone=spelled, **LONDON), at=NOON), Send
        )
        check = check_quiet_hours("Europe/London", at=NOON, phone=stored)
        assert (check.why_held, check.refused, check.can_send) == (
            decision.why,
            None,
            False,
        )


def test_a_number_of_any_country_with_its_prefix_kept_is_another_spelling() -> None:
    """In most of those that have a prefix, the library still reads such a number. It knows whose zero is its own."""
    regions = set()
    for phone in SPELLED:
        assert spelling_problem(phone) is None
        assert e164(phone) == phone
    for region in phonenumbers.SUPPORTED_REGIONS:
        number = phonenumbers.example_number_for_type(region, PhoneNumberType.MOBILE)
        metadata = PhoneMetadata.metadata_for_region(region)
        if number is None or metadata is None:
            continue
        phone = phonenumbers.format_number(number, PhoneNumberFormat.E164)
        assert spelling_problem(phone) is None, region
        code = f"+{number.country_code}"
        prefixed = f"{code}{metadata.national_prefix}{phone.removeprefix(code)}"
        if metadata.national_prefix and e164(prefixed) == phone:
            assert "is not spelled as E.164" in (spelling_problem(prefixed) or ""), (
                region
            )
            regions.add(region)
    assert len(regions) > 100


def test_whoever_reads_numbers_refuses_another_spelling_with_the_right_one() -> None:
    """Commands, files of opt-outs, senders."""
    for written in ("+4407700900123", "+44 07700 900123"):
        with pytest.raises(ValueError, match=re.escape(MISSPELLED[0][2])):
            read_phone(written)
    assert read_phone("+44 (0)7700 900123") == "+447700900123", (
        "which says itself that the zero is to be left out"
    )
    assert MISSPELLED[0][2] in (sender_problem("AC" + "0" * 32, "+4407700900123") or "")
