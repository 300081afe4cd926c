"""Where do the tables differ from the installed `phonenumbers` and `tzdata`, without a row that says why?

With newer ones than the pinned, a line is an area code to add or a zone to think about, and names the table to mend. A
row in `npa_overrides.tsv`, `npa_refused.tsv` or `number_zones.tsv` records a decision against the library.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import cache

import phonenumbers
from phonenumbers import PhoneNumber, PhoneNumberFormat, PhoneNumberType
from phonenumbers.timezone import (
    time_zones_for_geographical_number,
    time_zones_for_number,
)

from smsretry import data

NOBODYS = (
    PhoneNumberType.TOLL_FREE, PhoneNumberType.PREMIUM_RATE, PhoneNumberType.SHARED_COST,
    PhoneNumberType.PERSONAL_NUMBER,
)  # fmt: skip
MOBILES_HAVE_AREA_CODES = ("BR", "MX")
"""One example says nothing about the other states' clocks there."""
WEEKS = 104
"""How long two zones must agree to count as one clock."""


def differences(*left_out: str) -> list[str]:
    """Where library and tables differ, if the rows of these area codes and prefixes were not there."""
    return [*_area_codes(left_out), *_numbers_abroad(left_out)]


def _area_codes(left_out: tuple[str, ...]) -> Iterator[str]:
    area_codes = {
        row["npa"]: set(row["conservative_union"].split("+"))
        for row in data.table("npa_zones")
    }
    decided = {
        row["npa"] for row in data.table("npa_overrides")
    } | data.refused_area_codes().keys()
    for npa in sorted(
        {str(npa) for npa in range(200, 1000)} - decided.difference(left_out)
    ):
        number, ours = (
            _subscriber(npa, "555"),
            area_codes.get(npa) if npa not in left_out else None,
        )
        if phonenumbers.number_type(number) in NOBODYS:
            yield f"area code {npa} is nobody's phone any more: add it to npa_refused.tsv"
        elif ours is None and (
            region := phonenumbers.region_code_for_number(number)
        ) in ("CA", "US"):
            yield f"area code {npa} is new ({region}): add it to npa_overrides.tsv, with all its zones"
        elif ours and (missing := _every_zone(npa) - ours):
            yield f"area code {npa} reaches into {missing}, too: add it to npa_overrides.tsv"


@cache
def _every_zone(npa: str) -> set[str]:
    """The zones of all its exchanges."""
    exchanges = map(str, range(200, 1000))
    return {
        zone
        for nxx in exchanges
        for zone in time_zones_for_geographical_number(_subscriber(npa, nxx))
    }


def _subscriber(npa: str, exchange: str) -> PhoneNumber:
    return PhoneNumber(country_code=1, national_number=int(f"{npa}{exchange}2345"))


def _numbers_abroad(left_out: tuple[str, ...]) -> Iterator[str]:
    decided = tuple(
        {row["prefix"] for row in data.table("number_zones")}.difference(left_out)
    )
    for region in sorted(phonenumbers.SUPPORTED_REGIONS):
        mobile = phonenumbers.example_number_for_type(region, PhoneNumberType.MOBILE)
        if mobile is None or mobile.country_code == 1:
            continue
        if phonenumbers.format_number(mobile, PhoneNumberFormat.E164).startswith(
            decided
        ):
            continue
        places, where = (
            data.zone_names(),
            f"mobile numbers of {region} (+{mobile.country_code})",
        )
        stored = {
            _clock(zone) for zone in time_zones_for_number(mobile) if zone in places
        }
        there = {
            _clock(zone): zone
            for zone in sorted(places)
            if region in data.zone_countries(zone)
        }
        missing = [zone for clock, zone in there.items() if clock not in stored]
        if there and len(missing) == len(there):
            yield f"{where} are on no clock of that country: add its zones to number_zones.tsv"
        elif missing and region not in MOBILES_HAVE_AREA_CODES:
            yield f"{where} may be in {missing}, too: add all its zones to number_zones.tsv"


@cache
def _clock(zone: str) -> tuple[timedelta | None, ...]:
    """A zone's offsets in the weeks after the tables were made. The same for zones that differ in name only."""
    start = datetime.combine(
        date.fromisoformat(data.DATA_VERSION), time(12), tzinfo=UTC
    )
    return tuple(
        (start + timedelta(weeks=week)).astimezone(data.clock(zone)).utcoffset()
        for week in range(WEEKS)
    )


def test_the_tables_differ_from_the_libraries_only_where_a_row_says_why() -> None:
    """And would differ if a row of each table were missing, which the line names."""
    assert differences() == []
    tables = {
        "212": "npa_overrides",
        "689": "npa_overrides",
        "800": "npa_refused",
        "+56": "number_zones",
    }
    for line, (key, table) in zip(differences(*tables), tables.items(), strict=True):
        assert key in line
        assert f"{table}.tsv" in line
