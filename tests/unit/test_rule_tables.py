"""The tables of the hours: what a changed row changes, and which rows are refused."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest

from smsretry import data
from smsretry.quiet_hours.rules import (
    FEDERAL,
    read_country_rules,
    read_state_rules,
    strictest,
)

NOON = "2027-01-12T17:00+00:00"
"""A Tuesday: 12:00 in New York, 11:00 in Chicago, 10:00 in Denver."""
NINE = "2027-01-12T14:00+00:00"
"""The same Tuesday, 9:00 in New York."""
EVENING_IN_CHAD = "2027-01-12T19:30+00:00"
"""20:30 there."""
QUESTIONS = """
import json, sys
from datetime import datetime
import smsretry
answers = [smsretry.check_quiet_hours(None, at=datetime.fromisoformat(at), phone=phone)
           for phone, at in zip(sys.argv[1::2], sys.argv[2::2])]
print(json.dumps([smsretry.__file__, *[[answer.can_send, answer.rule] for answer in answers]]))
"""
COLUMNS = [
    f"{day}_{end}"
    for day in ("weekday", "saturday", "sunday")
    for end in ("start", "end")
]
EIGHT_TO_NINE = dict(zip(COLUMNS, ("08:00", "21:00") * 3, strict=True))
TEN_TO_NINE = dict(zip(COLUMNS, ("10:00", "21:00") * 3, strict=True))
FEDERAL_ROW = EIGHT_TO_NINE | {"rule_id": "", "holidays_banned": "no", "daily_cap": ""}


def without(table: str, key: str) -> str:
    """The text of a table as it ships, but for the rows that begin with `key`."""
    header, *lines = (
        files("smsretry.data")
        .joinpath(f"{table}.tsv")
        .read_text(encoding="utf-8")
        .splitlines()
    )
    return "\n".join(
        [header, *(line for line in lines if line.split("\t")[0] != key), ""]
    )


def written(table: str, key: str, cells: dict[str, str]) -> str:
    """The text of a table with one row that begins with `key`: as it ships, or else empty, but for these cells."""
    shipped = next(
        (row for row in data.table(table) if next(iter(row.values())) == key), {}
    )
    remainder = without(table, key)
    key_column, *columns = remainder.partition("\n")[0].split("\t")
    row = shipped | cells | {key_column: key}
    return (
        remainder
        + "\t".join(row.get(column, "") for column in (key_column, *columns))
        + "\n"
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A scratch copy of the package as it ships, with tables somebody works on."""
    source = Path(data.__file__).parent.parent
    shutil.copytree(
        source,
        tmp_path / "smsretry",
        ignore=shutil.ignore_patterns("__pycache__", "local", "supabase"),
    )
    return tmp_path


CHANGES: list[
    tuple[
        tuple[str, str, dict[str, str]],
        tuple[str, str],
        tuple[bool, str],
        tuple[bool, str],
    ]
] = [
    # a row of a table, who is asked about and when, the answer without it and with it
    (
        (
            "npa_overrides",
            "221",
            {"country": "US", "state_or_province": "LA", "zones": "America/Chicago"},
        ),
        ("+12215550123", NOON),
        (False, "every US state's rules"),
        (True, "us-la-45-844.31"),
    ),
    (
        ("country_windows", "TD", TEN_TO_NINE | {"rule_id": "td-practice"}),
        ("+23563012345", EVENING_IN_CHAD),
        (False, "09:00–20:00 (federal, abroad)"),
        (True, "10:00–21:00 (federal, td-practice)"),
    ),
    (
        ("holiday_overrides", "US-UT", {"day": "01-12", "name": "…"}),
        ("+18015550123", NOON),
        (True, "us-ut-13-25a-103"),
        (False, "us-ut-13-25a-103"),
    ),
    (
        ("us_quiet_hours", "NJ", TEN_TO_NINE | {"rule_id": "us-nj-56-8-119"}),
        ("+16095550123", NINE),
        (True, "08:00–21:00"),
        (False, "10:00–21:00 (federal, us-nj-56-8-119)"),
    ),
]


def answers(checkout: Path, tables: dict[str, str]) -> list[tuple[bool, str]]:
    """What a fresh interpreter answers to the questions on this copy, with these tables."""
    for name, text in tables.items():
        (checkout / "smsretry" / "data" / f"{name}.tsv").write_text(
            text, encoding="utf-8"
        )
    questions = [word for change in CHANGES for word in change[1]]
    process = subprocess.run(
        [sys.executable, "-c", QUESTIONS, *questions],
        env=os.environ | {"PYTHONPATH": str(checkout)},
        cwd=checkout,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    file, *pairs = json.loads(process.stdout)
    assert Path(file).is_relative_to(checkout)
    return [(can_send, rule) for can_send, rule in pairs]


def test_a_changed_row_changes_the_answer(checkout: Path) -> None:
    """The steps of `quiet_hours/README.md`: one row of one table is all it takes."""
    rows = [change[0] for change in CHANGES]
    changed = {name: written(name, key, cells) for name, key, cells in rows}
    before = {name: without(name, key) for name, key, _ in rows}
    before["us_quiet_hours"] = written("us_quiet_hours", "NJ", FEDERAL_ROW)
    for tables, expected in (
        (before, [change[2] for change in CHANGES]),
        (changed, [change[3] for change in CHANGES]),
    ):
        pairs = zip(answers(checkout, tables), expected, strict=True)
        for answer, (can_send, rule) in pairs:
            assert (answer[0], rule in answer[1]) == (can_send, True)


BROKEN: list[tuple[str, str, dict[str, str]]] = [
    # the table, the row, its cells
    *(
        (
            "us_quiet_hours",
            "NJ",
            FEDERAL_ROW | cells,
        )  # it differs from the federal rule, and has no id
        for cells in (
            {"weekday_start": "10:00"},
            {"saturday_end": "20:00"},
            {"sunday_start": "", "sunday_end": ""},
            {"weekday_end": "22:00"},
            {"holidays_banned": "list"},
            {"daily_cap": "3 per 24h"},
        )
    ),
    ("us_quiet_hours", "TX", {"weekday_start": "9"}),
    ("us_quiet_hours", "TX", {"weekday_start": "21:00", "weekday_end": "09:00"}),
    ("us_quiet_hours", "TX", {"sunday_end": ""}),
    ("us_quiet_hours", "TX", {"holidays_banned": "some"}),
    ("us_quiet_hours", "TX", {"daily_cap": "three"}),
    ("country_windows", "TD", TEN_TO_NINE | {"rule_id": ""}),
]


def test_a_row_that_cannot_be_read_is_refused_by_file_and_row() -> None:
    """A guess would be a license."""
    for name, key, cells in BROKEN:
        rows = data.parse_table(written(name, key, cells), name=name)
        with pytest.raises(
            ValueError, match=rf"smsretry/data/{name}\.tsv, row {key}: ."
        ):
            (read_state_rules if name == "us_quiet_hours" else read_country_rules)(rows)


def test_a_table_that_says_something_twice_or_has_a_tab_too_few_is_refused() -> None:
    """Otherwise the later would silently win, or cells stand under the wrong columns."""
    rows = data.table("us_quiet_hours")
    with pytest.raises(ValueError, match="row UT: there are two such rows"):
        read_state_rules([*rows, next(row for row in rows if row["state"] == "UT")])
    with pytest.raises(
        ValueError, match=r"smsretry/data/some\.tsv, line 3: 2 cells under 3 columns"
    ):
        data.parse_table("a\tb\tc\n1\t2\t3\n1\t2\n", name="some")


def test_the_lowest_cap_of_several_rules_holds() -> None:
    """A number whose state is unknown has that of the strictest one."""
    rules = [replace(FEDERAL, daily_cap=cap) for cap in (5, None, 2)]
    assert strictest(rules, rule_id="all", source="all").daily_cap == 2
