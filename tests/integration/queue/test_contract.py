"""The table of what smsretry reads and writes of the application's is what the SQL does, and its examples are true."""

import re
from datetime import timedelta
from itertools import pairwise

from smsretry.adapters.migrations.checksums import recorded_checksums
from smsretry.adapters.migrations.schemas import schema_files
from smsretry.local.demo.run import ROOT
from smsretry.quiet_hours.check import check_quiet_hours
from smsretry.quiet_hours.hours import parse_week
from tests.e2e.documents import Document
from tests.integration.catalog import Database
from tests.support.builders import NOON
from tests.support.shop import Shop

README = Document(ROOT / "smsretry" / "README.md")
_COLUMNS = """
select c.relname || '.' || a.attname as name from pg_class c join pg_attribute a on a.attrelid = c.oid
where c.oid = any ('{businesses,customers,send_logs,sms_retry_queue}'::regclass[])
  and a.attnum > 0 and not a.attisdropped
"""


def columns_in_sql() -> set[str]:
    """What is named behind an alias or a variable of a table's, by file. Some are another table's columns."""
    names = set[str]()
    for file in schema_files():
        code = re.sub("--.*", "", file.text)
        aliases = re.findall(r"\bpublic\.(\w+) (?:as )?(\w+)\b", code)
        variables = re.findall(r"\b(\w+) public\.(\w+);", code)
        for table, alias in [*aliases, *((table, name) for name, table in variables)]:
            columns = re.findall(rf"\b{alias}\.(\w+)\b", code)
            names |= {f"{table}.{column}" for column in columns}
    return names


def documented_columns() -> set[str]:
    """The columns in the first cells of the table. Those that follow one with a table are of that."""
    section = README.text.partition("## What is yours")[2].partition("\n## ")[0]
    names, table = set[str](), ""
    for cell in re.findall(r"^\| (`.*?) \|", section, re.M):
        for name in re.findall("`(.*?)`", cell):
            table = name.partition(".")[0] if "." in name else table
            names.add(f"{table}.{name.rpartition('.')[2]}")
    return names


def test_each_column_that_the_sql_names_is_in_the_table(migrated: Database) -> None:
    """But for those that smsretry adds."""
    columns = {
        row["name"]
        for row in migrated.rows(_COLUMNS)
        if f"column public.{row['name']}" not in recorded_checksums()
    }
    assert documented_columns() == columns_in_sql() & columns


def test_the_insert_that_is_shown_queues_a_text_that_goes_out(shop: Shop) -> None:
    """As it stands, in the role of the backend."""
    log = shop.send_log(shop.customer())
    [insert] = [block.text for block in README.blocks("sql") if "insert" in block.text]
    shop.sql("set role service_role")
    shop.connection.execute(insert.replace("<send log id>", str(log)).encode())
    shop.sql("reset role")
    shop.later(minutes=2)
    assert shop.run() == ["Sent"]


def test_a_businesss_own_hours_hold_on_its_clock_and_on_the_customers() -> None:
    """Hour by hour: the example of the document, by the business's clock."""
    midnight = NOON - timedelta(hours=12)
    is_open = [
        check_quiet_hours(
            None,
            phone="+13105550123",
            fallback="America/New_York",
            own_window=parse_week("10:00-18:00"),
            at=midnight + timedelta(hours=hour),
        ).can_send
        for hour in range(25)
    ]
    [opens, closes] = [
        hour for hour, (was, now) in enumerate(pairwise(is_open), 1) if was != now
    ]
    assert f"keeps {opens}:00–{closes}:00 for a number of Los Angeles" in README.text
