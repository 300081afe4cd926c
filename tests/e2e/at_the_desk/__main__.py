"""The whole of it on `smsretry up`: `python -m tests.e2e.at_the_desk --pictures /tmp/desk`.

Three of the demo's customers whose texts failed are helped, one by each way. Exits with 1 if a way takes over a minute.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from uuid import UUID

from tests.e2e.at_the_desk.by_browser import by_browser
from tests.e2e.at_the_desk.by_command import by_command
from tests.e2e.at_the_desk.by_sql import by_sql
from tests.e2e.at_the_desk.diary import Diary
from tests.e2e.browser import Browser
from tests.e2e.running_up import Up, running_up
from tests.support.waiting import until

_FAILED = """
    select q.customer_id, q.error_code as code from customers c join sms_retry_queue q on q.customer_id = c.id
    where c.name = %s and q.status = 'failed'
"""


def main() -> int:
    """Start, help all three, tell how long it took."""
    parser = argparse.ArgumentParser(prog="python -m tests.e2e.at_the_desk", description=__doc__)
    parser.add_argument("--pictures", type=Path, help="keep a picture of each step in this directory")
    options = parser.parse_args()
    pictures = options.pictures
    if pictures:
        pictures.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as directory, running_up(Path(directory), "--rate", "6") as up:
        diaries = [_in_the_browser(up, pictures), _at_the_command_line(up), _in_sql(up)]
    sys.stdout.write("\n\n".join(map(str, diaries)) + "\n")
    return int(any(diary.seconds > 60 for diary in diaries))


def _in_the_browser(up: Up, pictures: Path | None) -> Diary:
    customer, code = _failed(up, "Zane")
    with Browser() as page:
        diary = Diary("Prefect's UI", pictures)
        by_browser(page, up.url, customer, code, diary)
    return diary


def _at_the_command_line(up: Up) -> Diary:
    customer, code = _failed(up, "Wren")
    diary = Diary("Command line")
    by_command({**up.started.environment, **up.settings}, customer, code, diary)
    return diary


def _in_sql(up: Up) -> Diary:
    customer, code = _failed(up, "Sven")
    with up.connect() as connection:
        diary = Diary("SQL, and the next scheduled run")
        by_sql(connection, customer, code, diary, until=until)
    return diary


def _failed(up: Up, name: str) -> tuple[UUID, int]:
    """A customer whose text has failed, and with which code."""
    with up.connect() as connection:
        until(lambda: connection.execute(_FAILED, [name]).fetchone() is not None)
        row = connection.execute(_FAILED, [name]).fetchone()
    assert row is not None
    return row["customer_id"], row["code"]


if __name__ == "__main__":
    sys.exit(main())
