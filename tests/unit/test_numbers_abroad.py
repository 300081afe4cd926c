"""A number from anywhere on earth, and a business in the US: there is an hour at which a text may go out."""

from datetime import UTC, datetime, timedelta
from itertools import product

import phonenumbers
from phonenumbers import PhoneNumberFormat, PhoneNumberType

from smsretry.quiet_hours.check import check_quiet_hours
from smsretry.quiet_hours.numbers import US_ZONES

SEASONS = [datetime(2027, month, 2, tzinfo=UTC) for month in (1, 4, 7, 10, 12)]


def mobile(region: str) -> str | None:
    """A mobile number of a country, such as the library prints in its examples."""
    number = phonenumbers.example_number_for_type(region, PhoneNumberType.MOBILE)
    return phonenumbers.format_number(number, PhoneNumberFormat.E164) if number else None


MOBILES = {region: phone for region in sorted(phonenumbers.SUPPORTED_REGIONS) if (phone := mobile(region))}


def test_nearly_every_country_has_mobiles() -> None:
    """The list below is not empty by some accident."""
    assert len(MOBILES) > 219


def test_a_mobile_of_any_country_has_an_hour_within_eight_days_whatever_us_zone_the_business_has() -> None:
    """In some season: another one for each pair of a country and a zone."""
    businesses = (None, *US_ZONES, "America/Puerto_Rico")
    for n, (region, business) in enumerate(product(MOBILES, businesses)):
        at = SEASONS[n % len(SEASONS)]
        check = check_quiet_hours(None, at=at, phone=MOBILES[region], fallback=business)
        assert check.can_send or check.next_send_at is not None, (region, business, at, check.held)
        assert (check.next_send_at or at) - at < timedelta(days=8)


def test_a_business_in_guam_shares_its_calling_code_with_bermuda_and_no_hour() -> None:
    """The customer may well be on Guam, and it is never day at both: a person must say where they are."""
    at = SEASONS[2]
    check = check_quiet_hours(None, at=at, phone=MOBILES["BM"], fallback="Pacific/Guam")
    assert check.held is not None
    assert check.held.endswith("Set the customer's timezone, or widen the window")
    assert check_quiet_hours("Pacific/Guam", at=at, phone=MOBILES["BM"], fallback="Pacific/Guam").held is None
