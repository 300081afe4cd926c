"""The tables that ship with the package, and the pinned time zone data.

Reading them is part of importing the package: they change only with a release. Nothing here reads the
system's files, environment or clock.
"""

import csv
from datetime import date
from functools import cache
from importlib.resources import files
from typing import Final
from zoneinfo import ZoneInfo

TZDATA: Final = ("2026f", date(2026, 10, 28))
"""The time zone data that this release was made with, and when it was published (the files in its wheel)."""
DATA_VERSION: Final = "2026-11-24"
"""When the quiet-hours tables were last reviewed: area codes, zones, states, holidays, countries."""


def table(name: str) -> list[dict[str, str]]:
    """The rows of `smsretry/data/<name>.tsv`, each as column → text. Tab-separated, no quoting."""
    text = files(__name__).joinpath(f"{name}.tsv").read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE))


@cache
def place_names() -> frozenset[str]:
    """IANA names of places people live in: `Area/City`, without `Etc/…` and the bare abbreviations.

    `UTC`, `EST` or `Etc/GMT+5` name an offset, not where somebody is (and `EST` knows no summer time).
    """
    names = files("tzdata").joinpath("zones").read_text(encoding="utf-8").split()
    return frozenset(name for name in names if "/" in name and not name.startswith("Etc/"))


@cache
def place(name: str) -> ZoneInfo:
    """The rules of one of `place_names()`, from the pinned `tzdata` package and never from the system.

    System data wins in `ZoneInfo(name)` and is stale on many images: python-pendulum/pendulum#700.
    """
    *folders, file = name.split("/")
    with files("tzdata").joinpath("zoneinfo", *folders, file).open("rb") as source:
        return ZoneInfo.from_file(source, key=name)
