"""Where do the tables differ from the installed `phonenumbers` and `tzdata`?

Run this with the newest ones, before a release or when `smsretry doctor` calls the tables old:

    pip install --upgrade phonenumbers tzdata
    python -m smsretry.data.review

It prints one line a difference, with the table to mend, and exits with 1 if there is any. It changes nothing. A row in
`npa_overrides.tsv`, `npa_refused.tsv` or `number_zones.tsv` records a decision against the library.
"""

import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import Final

import phonenumbers
import tzdata
from phonenumbers import PhoneNumber, PhoneNumberFormat, PhoneNumberType
from phonenumbers.timezone import time_zones_for_geographical_number, time_zones_for_number

from smsretry import data

_PLAN: Final = 1
"""The calling code of the North American numbering plan."""
_IN_OUR_TABLES: Final = frozenset({"CA", "US"})
_NOBODYS: Final = frozenset(
    {
        PhoneNumberType.TOLL_FREE,
        PhoneNumberType.PREMIUM_RATE,
        PhoneNumberType.SHARED_COST,
        PhoneNumberType.PERSONAL_NUMBER,
    }
)
_MOBILES_HAVE_AREA_CODES: Final = frozenset({"BR", "MX"})
"""One example says nothing about the other states' clocks there."""
_WEEKS: Final = 104
"""How long two zones must agree to count as one clock."""


def differences() -> Iterator[str]:
    """A line for each place where the library and the tables disagree and no row says why."""
    yield from _area_codes()
    yield from _numbers_abroad()


def _area_codes() -> Iterator[str]:
    known = {row["npa"]: set(row["conservative_union"].split("+")) for row in data.table("npa_zones")}
    overridden, refused = {row["npa"] for row in data.table("npa_overrides")}, data.refused_area_codes()
    for npa in map(str, range(200, 1000)):
        if npa in refused:
            continue
        number = _subscriber(npa, "555")
        region, kind = phonenumbers.region_code_for_number(number), phonenumbers.number_type(number)
        if kind in _NOBODYS:
            yield f"area code {npa} is nobody's phone any more: add it to npa_refused.tsv"
        elif npa not in known and npa not in overridden and region in _IN_OUR_TABLES:
            zones = "+".join(time_zones_for_geographical_number(number))
            yield f"area code {npa} is new ({region}, {zones}): add it to npa_overrides.tsv"
        elif npa in known and npa not in overridden and (missing := _every_zone(npa) - known[npa]):
            yield f"area code {npa} reaches into {'+'.join(sorted(missing))}, too: add it to npa_overrides.tsv"


def _every_zone(npa: str) -> set[str]:
    """The zones of all the exchanges of an area code."""
    exchanges = (str(exchange) for exchange in range(200, 1000))
    return {zone for nxx in exchanges for zone in time_zones_for_geographical_number(_subscriber(npa, nxx))}


def _subscriber(npa: str, exchange: str) -> PhoneNumber:
    return PhoneNumber(country_code=_PLAN, national_number=int(f"{npa}{exchange}2345"))


def _numbers_abroad() -> Iterator[str]:
    overridden = tuple(row["prefix"] for row in data.table("number_zones"))
    for region in sorted(phonenumbers.SUPPORTED_REGIONS):
        mobile = phonenumbers.example_number_for_type(region, PhoneNumberType.MOBILE)
        if mobile is None or mobile.country_code == _PLAN:
            continue
        phone = phonenumbers.format_number(mobile, PhoneNumberFormat.E164)
        if not phone.startswith(overridden):
            yield from _mobiles(region, mobile)


def _mobiles(region: str, mobile: PhoneNumber) -> Iterator[str]:
    places, where = data.place_names(), f"mobile numbers of {region} (+{mobile.country_code})"
    given = {_clock(zone) for zone in time_zones_for_number(mobile) if zone in places}
    there = {_clock(zone): zone for zone in sorted(places) if region in data.zone_countries(zone)}
    if there and given.isdisjoint(there):
        yield f"{where} are on no clock of that country: add its zones to number_zones.tsv"
    elif region not in _MOBILES_HAVE_AREA_CODES and not given.issuperset(there):
        missing = "+".join(zone for clock, zone in there.items() if clock not in given)
        yield f"{where} may be in {missing}, too: add all its zones to number_zones.tsv"


@cache
def _clock(zone: str) -> tuple[timedelta | None, ...]:
    """A zone's offsets in the weeks after the tables were made. The same for zones that differ in name only."""
    start = datetime.combine(date.fromisoformat(data.DATA_VERSION), time(12), tzinfo=UTC)
    return tuple((start + timedelta(weeks=week)).astimezone(data.place(zone)).utcoffset() for week in range(_WEEKS))


def main() -> int:
    """Print the differences, and how many there are."""
    found = list(differences())
    for line in found:
        sys.stdout.write(f"{line}\n")
    versions = f"phonenumbers {phonenumbers.__version__}, tzdata {tzdata.IANA_VERSION}, tables of {data.DATA_VERSION}"
    sys.stdout.write(f"{len(found)} differences: {versions}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
