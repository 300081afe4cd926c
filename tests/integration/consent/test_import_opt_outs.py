"""Opt-outs that come along from another system: what an import ends and what it leaves alone. It may be repeated."""

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest

from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.desk.actions.opt_outs import LINES_OF_A_CALL, ImportOptOuts, OptOut
from smsretry.errors import QueueUnreachable
from smsretry.local.stack import Stack
from tests.conftest import Business
from tests.integration.conftest import Command
from tests.integration.hearing import hear
from tests.support.builders import NOON, PHONE, run

MIAMI = "+13055550199"
DAY = timedelta(days=1)
DONE = ("--yes", "--who", "Ann", "--because", "From the old tool")


def given(business: Business, *opt_outs: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Call the SQL function, as the owner of a table would."""
    values = {"business_id": business.id, "dry_run": False, "who": "Ann", "because": "Moved", **more}
    names = ", ".join(f"{name} => %({name})s" for name in values)
    found = business.connection.execute(
        f"select * from import_sms_opt_outs(opt_outs => %(opt_outs)s::jsonb, {names})".encode(),
        values | {"opt_outs": json.dumps(opt_outs)},
    ).fetchone()
    assert found is not None
    return found


def opted_out(at: datetime | None = None, *, phone: str = PHONE, line: int = 2) -> dict[str, Any]:
    """A line of an import."""
    return {"line": line, "phone": phone, "at": at and at.isoformat()}


def opt_in(business: Business, at: datetime, **customer: Any) -> UUID:
    """A customer who said yes then."""
    customer_id = business.customer(consent="unknown", **customer)
    business.connection.execute(
        "update customers set sms_consent_status = 'opted_in', sms_consent_at = %s where id = %s", [at, customer_id]
    )
    return customer_id


def consent(business: Business, customer_id: UUID) -> dict[str, Any]:
    """A customer's consent."""
    found = business.connection.execute(
        """select sms_consent_status as status, sms_consent_at as at, sms_consent_source as source
           from customers where id = %s""",
        [customer_id],
    ).fetchone()
    assert found is not None
    return found


def opt_outs(business: Business) -> list[dict[str, Any]]:
    """All that stand."""
    return business.connection.execute("select * from smsretry.standing_opt_outs order by id").fetchall()


@pytest.fixture
def stops(tmp_path: Path) -> Path:
    """A file of two, of which one is a customer's."""
    file = tmp_path / "stops.csv"
    file.write_text(f"phone,opted_out_at\n+1 (212) 555-0123,2026-11-01T10:00:00Z\n{MIAMI},\n")
    return file


def test_an_import_ends_the_texts_that_wait_and_those_that_are_scheduled(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, command: Command, stops: Path
) -> None:
    """Looked at first, then written; the story says who imported it and why."""
    waiting = business.due_text()
    scheduled = business.scheduled(due=timedelta(minutes=-1), phone=MIAMI)
    tried = command("import-opt-outs", stops, "--business", business.id)
    assert tried.exit_code == 0, tried.output
    assert "would be recorded: 2" in tried.stdout
    assert "waiting texts cancelled: 1" in tried.stdout
    assert not opt_outs(business)
    assert business.row(waiting)["status"] == "pending"
    assert not business.connection.execute("select from smsretry.imported_files").fetchall()
    done = command("import-opt-outs", stops, "--business", business.id, *DONE)
    assert done.exit_code == 0, done.output
    assert "recorded: 2" in done.stdout
    assert "waiting texts cancelled: 1" in done.stdout
    row = business.row(waiting)
    assert (row["status"], row["last_error"]) == ("cancelled", "Customer opted out")
    assert row["updated_at"] > stack.now() - DAY  # and not when they opted out
    queue.queue_scheduled(10, timedelta(minutes=10))
    run(queue, sender)
    assert business.text_of(scheduled)["last_error"] == "Customer opted out"
    assert not stack.twilio.ledger.entries()
    story = command("explain", "--row", waiting).output
    assert "consent changed from opted in to opted out (import_2027-01-12)" in story
    assert "opted out by Ann: From the old tool" in story


def test_a_second_import_of_a_file_changes_nothing_and_undoes_no_opt_in_since_the_first(
    stack: Stack, business: Business, command: Command, tmp_path: Path
) -> None:
    """It counted as now again, and ended a consent that was given an hour ago."""
    file = tmp_path / "stops.csv"
    file.write_text(f"phone\n{PHONE}\n")
    command("import-opt-outs", file, "--business", business.id, *DONE)
    before = opt_outs(business)
    stack.move_clock(timedelta(minutes=60))
    again = command("import-opt-outs", file, "--business", business.id, *DONE)
    assert "Opt-outs that were recorded: 0. Known already: 1." in again.stdout
    assert opt_outs(business) == before
    customer = opt_in(business, stack.now())
    stack.move_clock(timedelta(minutes=60))
    again = command("import-opt-outs", file, "--business", business.id, *DONE)
    assert f"line 2: customer {customer} opted in later" in again.stdout
    assert consent(business, customer)["status"] == "opted_in"
    assert not opt_outs(business)


def test_a_number_without_a_customer_is_opted_out_before_one_comes(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """At that business alone."""
    given(business, opted_out(stack.now() - DAY))
    other = Business(business.connection, stack.now).open()
    row, elsewhere = business.due_text(), other.due_text()
    run(queue, sender)
    assert business.row(row)["last_error"].startswith("Customer opted out")
    assert other.row(elsewhere)["status"] == "completed"


def test_an_opt_in_after_the_imported_opt_out_stays(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """It is named by line and customer, before and after; the opt-in before it does not stay."""
    later = opt_in(business, stack.now() - DAY)
    earlier = opt_in(business, stack.now() - 3 * DAY, phone=MIAMI)
    at = stack.now() - 2 * DAY
    lines = opted_out(at, line=7), opted_out(at, phone=MIAMI, line=8)
    tried, done = given(business, *lines, dry_run=True), given(business, *lines)
    assert (tried["recorded"], tried["customers"], tried["notes"]) == (1, 1, done["notes"])
    assert (done["recorded"], done["customers"]) == (1, 1)
    assert [(note["line"], note["what"], note["customer_id"]) for note in done["notes"]] == [
        (7, "outlived", str(later))
    ]
    assert consent(business, later)["status"] == "opted_in"
    assert (consent(business, earlier)["status"], consent(business, earlier)["at"]) == ("opted_out", at)
    row = business.queue_row(business.send_log(later), later)
    run(queue, sender)
    assert business.row(row)["status"] == "completed"


def test_an_opt_in_that_is_no_later_real_one_does_not_stay(stack: Stack, business: Business) -> None:
    """One without a date, in the future, at the same moment, or for another number."""
    at = stack.now() - 2 * DAY
    customers = [business.customer(phone="+12125550000")]
    for number, opted_in in enumerate((stack.now() + DAY, at, stack.now() - DAY), start=1):
        customers.append(opt_in(business, opted_in, phone=MIAMI if number == 3 else f"+1212555000{number}"))
    business.connection.execute("update customers set phone = '+12125550003' where phone = %s", [MIAMI])
    done = given(business, *(opted_out(at, phone=f"+1212555000{number}") for number in range(4)))
    assert (done["recorded"], done["customers"]) == (4, 4)
    assert {consent(business, customer)["status"] for customer in customers} == {"opted_out"}


def test_a_date_that_says_nothing_counts_as_now(stack: Stack, business: Business) -> None:
    """An opt-out that counts as earlier than it was would be outlived by any opt-in."""
    dates = [None, "2027-12-24T00:00:00Z", "1970-01-01T00:00:00Z", "24.11.2026", "2026-13-41T00:00:00Z", 5]
    lines = [{"line": n, "phone": f"+1212555000{n}", "at": at} for n, at in enumerate(dates)]
    customers = [opt_in(business, stack.now() - DAY, phone=line["phone"]) for line in lines]
    done = given(business, *lines)
    assert (done["recorded"], done["undated"]) == (6, 6)
    for customer in customers:
        found = consent(business, customer)
        assert (found["status"], found["source"]) == ("opted_out", "import_2027-01-12")
        assert NOON <= found["at"] <= stack.now()
    stack.move_clock(timedelta(minutes=1))
    assert given(business, *lines)["known"] == 6


def test_the_latest_of_a_number_s_lines_counts(stack: Stack, business: Business) -> None:
    """Within a call and between two."""
    first, last = stack.now() - 3 * DAY, stack.now() - DAY
    done = given(business, opted_out(last, line=2), opted_out(first, line=3))
    assert (done["recorded"], done["known"]) == (1, 1)
    assert [one["dated"] for one in opt_outs(business)] == [last]
    assert given(business, opted_out(first))["known"] == 1
    assert given(business, opted_out(stack.now()))["recorded"] == 1


def test_a_start_does_not_take_back_what_was_imported(stack: Stack, business: Business) -> None:
    """It may have been said by telephone. A recorded opt-in lifts it, as any."""
    customer = opt_in(business, stack.now() - 3 * DAY)
    hear(business, "STOP")
    given(business, opted_out(stack.now() - DAY))
    stack.move_clock(timedelta(minutes=1))
    hear(business, "START")
    assert consent(business, customer)["status"] == "opted_out"
    business.connection.execute("select record_sms_consent(%s, 'opted_in', 'form', %s)", [PHONE, business.id])
    assert not opt_outs(business)


def test_locked_customers_keep_no_other_number_from_opting_out(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """The opt-out of a locked one holds at once, and the same call again marks it."""
    locked, free = business.due_text(), business.due_text(phone=MIAMI)
    lines = (opted_out(stack.now() - DAY), opted_out(stack.now() - DAY, phone=MIAMI))
    with stack.connect() as holder:
        holder.autocommit = False
        holder.execute("select from customers where phone = %s for update", [PHONE])
        done = given(business, *lines)
        holder.rollback()
    assert (done["customers"], done["unmarked"]) == (1, 1)
    run(queue, sender)
    assert {business.row(row)["last_error"][:18] for row in (locked, free)} == {"Customer opted out"}
    again = given(business, *lines)
    assert (again["known"], again["customers"], again["unmarked"]) == (2, 1, 0)


def test_an_import_for_all_holds_at_each_business_that_knows_the_number_or_gets_to_know_it(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """A later opt-in at one of them stays there alone."""
    kept, other, later = (Business(business.connection, stack.now).open() for _ in range(3))
    customer = opt_in(kept, stack.now())
    other.customer()
    line, everybodys = opted_out(stack.now() - DAY), {"business_id": None, "all_businesses": True}
    done = given(business, line, **everybodys)
    assert (done["recorded"], done["customers"]) == (1, 1)
    assert [note["customer_id"] for note in done["notes"]] == [str(customer)]
    again = given(business, line, **everybodys)
    assert (again["recorded"], again["known"], again["customers"]) == (0, 1, 0)
    texts = [kept.queue_row(kept.send_log(customer), customer), other.due_text(), later.due_text()]
    run(queue, sender)
    assert [business.row(text)["status"] for text in texts] == ["completed", "cancelled", "cancelled"]


@pytest.mark.parametrize(
    "opt_outs",
    [
        [1], ["+12125550100"], [None], [[]], [{}], [{"phone": 12125550100}], [{"phone": "2125550100"}],
        [{"phone": "+1212555010'"}], [{"phone": "+" + "1" * 5000}], [{"phone": PHONE + "\n"}],
    ],
)  # fmt: skip
def test_a_line_that_is_no_number_costs_no_other(business: Business, opt_outs: list[Any]) -> None:
    """Its line is named, and nothing else of it."""
    done = given(business, *opt_outs, opted_out(phone=MIAMI, line=9))
    assert done["recorded"] == 1
    assert [(note["line"], note["what"]) for note in done["notes"]] == [(1, "unreadable")]
    assert "555" not in json.dumps(done["notes"])


@pytest.mark.parametrize(
    ("more", "state"),
    [
        ({"business_id": UUID(int=1)}, "SR404"),
        ({"all_businesses": True}, "SR422"),
        ({"business_id": None}, "SR422"),
        ({"who": "", "because": "Moved"}, "SR422"),
        ({"because": f"She called from {PHONE}"}, "SR422"),
        ({"file_hash": "x"}, "SR422"),
        ({"opt_outs": LINES_OF_A_CALL + 1}, "SR422"),
    ],
)
def test_an_import_that_leaves_something_open_records_nothing(
    business: Business, more: dict[str, Any], state: str
) -> None:
    """For whom, who and why; and a call has an end, which is where the package has it."""
    lines = [opted_out()] * more.get("opt_outs", 1)
    with pytest.raises(psycopg.Error) as refused:
        given(business, *lines, **{name: value for name, value in more.items() if name != "opt_outs"})
    assert refused.value.sqlstate == state
    assert not opt_outs(business)


def test_a_call_whose_answer_was_lost_is_given_again_and_changes_nothing_twice(
    stack: Stack, business: Business, operators: SupabaseOperators
) -> None:
    """The database did it; the second call finds it done."""
    row = business.due_text()
    stack.rpc_faults.drop_after_commit("import_sms_opt_outs")
    order = ImportOptOuts(business_id=business.id, dry_run=False, who="Ann", because="Moved")
    with pytest.raises(QueueUnreachable, match="It is not known whether it was recorded"):
        operators.import_opt_outs(order, [OptOut(2, PHONE, None)], file_hash="a" * 64)
    done = operators.import_opt_outs(order, [OptOut(2, PHONE, None)], file_hash="a" * 64)
    assert (done.recorded, done.known) == (0, 1)
    assert business.row(row)["status"] == "cancelled"


def test_a_bad_line_is_named_by_its_number_and_the_others_are_imported(
    business: Business, command: Command, tmp_path: Path
) -> None:
    """In UTF-16 with a byte order mark, as a spreadsheet saves Unicode text; no number is printed."""
    file = tmp_path / "stops.txt"
    rows = [PHONE, "1.21256E+10", MIAMI]
    file.write_text(
        "Phone\tOpted Out At\n" + "".join(f"{row}\t2026-11-01T10:00:00Z\n" for row in rows), encoding="utf-16"
    )
    done = command("import-opt-outs", file, "--business", business.id, *DONE)
    assert done.exit_code == 1
    assert "line 3: Its number has no country code" in done.stdout
    assert "Lines: 3. Not imported: 1." in done.stdout
    assert len(opt_outs(business)) == 2
    assert not any(number in done.output for number in (*rows, PHONE[2:], MIAMI[2:]))


def test_standard_input_is_a_file_as_well(business: Business, command: Command) -> None:
    """Printed as JSON, for programs."""
    done = command(
        "import-opt-outs", "-", "--business", business.id, "--json", *DONE, stdin=f"\ufeffphone\n{PHONE}\nn/a\n"
    )
    told = json.loads(done.stdout)
    assert (told["recorded"], told["undated"], told["refused"], told["lines_read"]) == (1, 1, 1, 2)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ((), "--business"),
        (("--all-businesses", "--business", str(UUID(int=1))), "say for whom in one way"),
        (("--all-businesses", "--yes"), "because"),
    ],
)
def test_a_command_line_that_leaves_something_open_is_refused(
    command: Command, stops: Path, options: tuple[str, ...], why: str
) -> None:
    """Before anything is recorded."""
    refused = command("import-opt-outs", stops, *options)
    assert refused.exit_code == 64, refused.output
    assert why in refused.stderr
