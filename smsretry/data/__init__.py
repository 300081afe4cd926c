"""The tables that ship with the package, and the pinned time zone data.

Reading them is part of importing the package: they change only with a release. Nothing here reads the system's
files, environment or clock. `smsretry/quiet_hours/README.md` describes the tables of the hours.
"""

import csv
import re
from datetime import date, timedelta
from functools import cache
from importlib.resources import files
from itertools import product
from typing import Final

from pendulum import FixedTimezone, Timezone

TZDATA: Final = ("2026f", date(2026, 10, 28))
"""The time zone data that this release was made with, and the day of its publication (of the files in its wheel)."""
DATA_VERSION: Final = "2026-11-25"
"""When the quiet-hours tables were last reviewed: area codes, zones, states, holidays, countries."""
_DIGITS: Final = {"N": "23456789", "X": "0123456789"}
"""How the numbering plan writes patterns of digits."""


def tables_age(today: date) -> timedelta:
    """How long ago the quiet-hours tables were last reviewed. About a dozen area codes come into service each year."""
    return today - date.fromisoformat(DATA_VERSION)


def table(name: str) -> list[dict[str, str]]:
    """The rows of `smsretry/data/<name>.tsv`, each as column → text.

    Raises:
        ValueError: a row has more or fewer cells than the header. The message names the file and the line.
    """
    return parse_table(
        files(__name__).joinpath(f"{name}.tsv").read_text(encoding="utf-8"), name=name
    )


def parse_table(text: str, *, name: str) -> list[dict[str, str]]:
    """The rows of a table's text: a header, then one row a line, tabs between the cells, no quoting.

    Raises:
        ValueError: as for `table`.
    """
    header, *lines = csv.reader(
        text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE
    )
    for number, cells in enumerate(lines, start=2):
        if len(cells) != len(header):
            raise ValueError(
                f"smsretry/data/{name}.tsv, line {number}: {len(cells)} cells under {len(header)} columns: put one tab "
                "between cells, also between empty ones"
            )
    return [dict(zip(header, cells, strict=True)) for cells in lines]


@cache
def lists(name: str, key: str, column: str) -> dict[str, tuple[str, ...]]:
    """What a column of a table lists, joined by `+`, by the row's key."""
    return {row[key]: tuple(row[column].split("+")) for row in table(name)}


def refused_area_codes() -> dict[str, str]:
    """Codes of +1 that are nobody's phone, and what they are instead, from `npa_refused.tsv`."""
    # The rows of single codes come last and win: 888 is toll-free, the rest of 88X is nobody's yet.
    rows = sorted(table("npa_refused"), key=lambda row: row["npa"].isdecimal())
    return {
        "".join(code): row["kind"]
        for row in rows
        for code in product(*(_DIGITS.get(d, d) for d in row["npa"]))
    }


@cache
def zone_names() -> frozenset[str]:
    """The names of IANA's zones. `Factory` stands for a clock that nobody has set."""
    names = files("tzdata").joinpath("zones").read_text(encoding="utf-8").split()
    return frozenset(names) - {"Factory"}


@cache
def clock(name: str) -> Timezone | FixedTimezone:
    """The clock of one of `zone_names()`, or of an offset such as `UTC-08:00`.

    From the pinned `tzdata` package and never from the system: `Timezone(name)` prefers the system's data, which is
    stale on many images: python-pendulum/pendulum#700.
    """
    if offset := re.fullmatch(r"UTC([+-])(\d\d):(\d\d)", name):
        minutes = int(offset[2]) * 60 + int(offset[3])
        return FixedTimezone(int(f"{offset[1]}{minutes * 60}"), name)
    *folders, file = name.split("/")
    with files("tzdata").joinpath("zoneinfo", *folders, file).open("rb") as source:
        return Timezone.from_file(source, key=name)


def zone_countries(name: str) -> frozenset[str]:
    """ISO codes of the countries that a zone lies in. An offset lies in none, nor do a few old names."""
    return _zone_countries().get(name, frozenset())


@cache
def _zone_countries() -> dict[str, frozenset[str]]:
    folder = files("tzdata").joinpath("zoneinfo")

    def read_table(name: str) -> dict[str, frozenset[str]]:
        lines = folder.joinpath(name).read_text(encoding="utf-8").splitlines()
        cells = [line.split("\t") for line in lines if not line.startswith("#")]
        return {
            zone: frozenset(countries.split(",")) for countries, _, zone, *_ in cells
        }

    current, shared = read_table("zone.tab"), read_table("zone1970.tab")
    # An older name such as US/Eastern is a link to a zone, and lies in one of the countries that share its clock.
    links = [
        line.split()
        for line in folder.joinpath("tzdata.zi")
        .read_text(encoding="utf-8")
        .splitlines()
    ]
    return {
        words[2]: shared.get(words[1], frozenset())
        for words in links
        if words[0] == "L"
    } | current
