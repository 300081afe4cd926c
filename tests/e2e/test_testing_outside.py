"""The pytest plugin in a project of somebody else's: the files that its README shows, and a wrong integration."""

import os
import re
import subprocess
import sys
from pathlib import Path
from shutil import which

import pytest

from smsretry.local.demo.run import ROOT
from smsretry.local.stack import Stack
from tests.e2e.documents import Document

pytestmark = pytest.mark.long
README = Document(ROOT / "smsretry" / "testing" / "README.md")
WRONG = '''
def queue(business, phone):
    """Forgets that a text needs consent."""
    return business.due_text(phone=phone, consent="unknown")


def test_the_customer_is_thanked(sms_stack):
    queue(sms_stack.business(), "+12125550123")
    sms_stack.run()
    assert [message.to for message in sms_stack.twilio.ledger.entries()] == ["+12125550123"]


def test_the_next_test_begins_as_new(sms_stack):
    owner = sms_stack.connection()
    count = "select (select count(*) from businesses) as theirs, (select count(*) from plans) as kept"
    assert owner.execute(count).fetchone() == {"theirs": 0, "kept": 2}
    assert sms_stack.twilio.ledger.entries() == ()
'''


def test_the_documented_example_passes_in_a_project_of_its_own_and_a_wrong_integration_fails(
    tmp_path: Path,
) -> None:
    """With nothing of this repository but the installed package. Its failure shows the queue, and no number."""
    [schema] = README.blocks("sql")
    conftest, example = README.blocks("python")
    project = {
        "pytest.ini": "[pytest]",
        "schema.sql": schema.text,
        "conftest.py": conftest.text,
    }
    tests = {
        "test_example.py": example.text,
        "test_wrong.py": WRONG,
    }
    for name, text in (project | tests).items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    result = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "no:cacheprovider",
            "--basetemp",
            str(tmp_path / "temporary"),
        ],
        cwd=tmp_path,
        env={
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PYTEST_", "TWILIO_"))
        },
        capture_output=True,
        text=True,
        check=False,
    )
    # Under CI=true pytest's last lines hold the whole assertion.
    ended = (
        r"FAILED test_wrong.py::test_the_customer_is_thanked .*\n=+ 1 failed, 4 passed"
    )
    assert re.search(ended, result.stdout, flags=re.DOTALL)
    assert "cancelled [not_consented] The customer has not consented" in result.stdout
    [queue] = re.findall(
        r"-- smsretry's queue --+\n(.*?)\n[=_]", result.stdout, flags=re.DOTALL
    )
    assert "+12125550123" not in queue, (
        "what follows it is the test's own assertion, which names it under CI=true"
    )
    assert list((tmp_path / "temporary").rglob("postgres")) == []


@pytest.mark.skipif(not which("psql"), reason="no psql")
def test_the_migration_of_a_schema_is_rehearsed_beside_the_embedded_stack(
    stack: Stack, tmp_path: Path
) -> None:
    """By the commands shown, with the schema that is shown elsewhere."""
    [rehearsal] = Document(ROOT / "smsretry" / "local" / "README.md").blocks("bash")
    [schema] = README.blocks("sql")
    (tmp_path / "schema.sql").write_text(schema.text, encoding="utf-8")
    programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    result = subprocess.run(
        ["bash", "-e"],
        input=rehearsal.text,
        cwd=tmp_path,
        env=dict(os.environ) | {"PATH": programs, "DATABASE_URL": stack.database_url},
        capture_output=True,
        text=True,
        check=False,
    )
    with stack.connect() as connection:
        connection.execute("drop database if exists rehearsal")
    assert result.stdout.endswith("Nothing was changed.\n"), (
        result.stdout + result.stderr
    )
