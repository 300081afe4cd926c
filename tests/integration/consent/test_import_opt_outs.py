"""Opt-outs that come along from another system: what an import ends and what it leaves alone. It may be repeated."""

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest

from smsretry.cli.opt_outs import NUMBERS_OF_A_CALL
from tests.integration.conftest import Command
from tests.integration.hearing import customer_of, hear, is_out
from tests.integration.story import Story
from tests.support.builders import NOON, PHONE
from tests.support.records import columns
from tests.support.shop import Shop

MIAMI = "+13055550199"
DAY = timedelta(days=1)
DONE = ("--yes", "--who", "Ann", "--because", "From the old tool")


def import_from(shop: Shop, *opt_outs: Any, **options: Any) -> dict[str, Any]:
    """Call the SQL function, as the owner of a table would."""
    values = {
        "business_id": shop.id,
        "dry_run": False,
        "who": "Ann",
        "because": "Moved",
        **options,
    }
    names = ", ".join(f"{name} => %s" for name in values)
    [record] = shop.sql(
        f"select * from import_sms_opt_outs(%s::jsonb, {names})",
        json.dumps(opt_outs),
        *values.values(),
    )
    return record


def opted_out(
    at: datetime | None = None, *, phone: str = PHONE, line: int = 2
) -> dict[str, Any]:
    """A line of an import."""
    return {"line": line, "phone": phone, "at": (at or NOON - DAY).isoformat()}


def opt_in(shop: Shop, at: datetime, **customer: Any) -> UUID:
    """A customer who said yes then."""
    return shop.customer(sms_consent_at=at, **customer)


def status(shop: Shop, customer: UUID) -> str:
    """A customer's consent, by the row."""
    return str(customer_of(shop, customer)["sms_consent_status"])


@pytest.fixture
def stops(tmp_path: Path) -> Path:
    """A file of two, of which one is a customer's."""
    file = tmp_path / "stops.csv"
    file.write_text(
        f"phone,opted_out_at\n+1 (212) 555-0123,2026-11-01T10:00:00Z\n{MIAMI},2026-11-01T10:00:00Z\n"
    )
    return file


# By command


def test_an_import_ends_the_texts_that_wait_and_those_that_are_scheduled(
    shop: Shop, command: Command, stops: Path
) -> None:
    """Looked at first, then written; the story says who imported it and why."""
    waiting, scheduled = (
        shop.due_text(),
        shop.scheduled(due=timedelta(minutes=-1), phone=MIAMI),
    )
    tried = command("import-opt-outs", stops, "--business", shop.id)
    assert tried.exit_code == 0, tried.output
    assert "2 new opt-outs" in tried.stdout
    assert "1 waiting text cancelled" in tried.stdout
    assert (is_out(shop), shop.status_of(waiting)) == (False, "pending")
    result = command("import-opt-outs", stops, "--business", shop.id, *DONE)
    assert result.exit_code == 0, result.output
    assert "Recorded: 2 lines read, 2 new opt-outs" in result.stdout
    row = shop.row(waiting)
    assert columns(row, "status", "last_error") == ("cancelled", "Customer opted out")
    assert row["updated_at"] > shop.now() - DAY  # and not when they opted out
    shop.queue.queue_scheduled(10, timedelta(minutes=10))
    shop.run()
    assert shop.text_of(scheduled)["last_error"] == "Customer opted out"
    assert not shop.messages
    story = command("explain", waiting).output
    assert (
        "consent changed, from opted_in to opted_out, source import_2027-01-12" in story
    )
    assert "opted out, by Ann: From the old tool" in story


def test_a_list_has_its_reason_which_the_story_of_each_text_shows(
    shop: Shop, command: Command, stops: Path
) -> None:
    """Such as numbers that carriers deactivated. A START lifts none, as of any list."""
    waiting = shop.due_text()
    reason = ("--source", "deactivated", *DONE)
    command("import-opt-outs", stops, "--business", shop.id, *reason)
    hear(shop, "START")
    assert (is_out(shop), shop.status_of(waiting)) == (True, "cancelled")
    story = command("explain", waiting).output
    assert "from opted_in to opted_out, source deactivated" in story


def test_a_second_import_of_a_file_changes_nothing_and_undoes_no_opt_in_since_the_first(
    shop: Shop, command: Command
) -> None:
    """Standard input is a file, too. A line without a date is refused: it would count as now, each time anew."""
    file = f"\ufeffphone,at\n{PHONE},2026-11-01T10:00:00Z\n{PHONE}\n"

    def again() -> dict[str, Any]:
        output = command(
            "import-opt-outs", "-", "--business", shop.id, "--json", *DONE, stdin=file
        ).stdout
        shop.later(minutes=60)
        return dict(json.loads(output))

    first_record, second = again(), again()
    assert (
        first_record["recorded"],
        first_record["refused"],
        first_record["lines_read"],
    ) == (1, 1, 2)
    assert (second["recorded"], second["known"]) == (0, 1)
    assert (
        shop.value(
            "select count(*) from smsretry.standing_words where business_id is not null and customer_id is null"
        )
        == 1
    )
    customer = opt_in(shop, shop.now())
    shop.later(minutes=60)
    assert any(
        f"customer {customer} opted in later" in line for line in again()["notes"]
    )
    assert (status(shop, customer), is_out(shop)) == ("opted_in", False)


def test_a_bad_line_is_named_by_its_number_and_the_others_are_imported(
    shop: Shop, command: Command, tmp_path: Path
) -> None:
    """No number is printed."""
    file, rows = tmp_path / "stops.txt", [PHONE, "1.21256E+10", MIAMI]
    lines = "".join(f"{row}\t2026-11-01T10:00:00Z\n" for row in rows)
    file.write_text("Phone\tOpted Out At\n" + lines)
    result = command("import-opt-outs", file, "--business", shop.id, *DONE)
    assert result.exit_code == 1
    assert "line 3: must be a number with its country code" in result.stdout
    assert "3 lines read" in result.stdout
    assert "1 line refused." in result.stdout
    assert is_out(shop)
    assert is_out(shop, MIAMI)
    assert not any(number in result.output for number in (*rows, PHONE[2:], MIAMI[2:]))


def test_a_command_line_that_leaves_something_open_is_refused(
    command: Command, stops: Path
) -> None:
    """Before anything is recorded."""
    for options, code, reason in (
        ((), 64, "--business"),
        (("--business", "all", "--yes"), 64, "--because"),
    ):
        refused = command("import-opt-outs", stops, *options)
        assert (refused.exit_code, reason in refused.stderr) == (code, True), (
            refused.output
        )


# By SQL: whom it concerns


def test_an_opt_in_after_the_imported_opt_out_stays(shop: Shop) -> None:
    """It is named by line and customer, before and after. One before it, of the same moment, in the future or for
    another number does not stay; and who is no customer yet is opted out when they come.
    """
    at = shop.now() - 2 * DAY
    later = opt_in(shop, at + DAY, phone="+12125550000")
    given_up = [shop.customer(phone="+12125550001")]
    for number, opted_in in enumerate(
        (at - DAY, at, shop.now() + DAY, at + DAY), start=2
    ):
        given_up.append(
            opt_in(
                shop, opted_in, phone=MIAMI if number == 5 else f"+1212555000{number}"
            )
        )
    shop.sql("update customers set phone = '+12125550005' where phone = %s", MIAMI)
    lines = [
        opted_out(at, phone=f"+1212555000{number}", line=number) for number in range(6)
    ]
    tried, done = (
        import_from(shop, *lines, dry_run=True),
        import_from(shop, *lines, opted_out(at, phone=MIAMI)),
    )
    assert columns(tried, "recorded", "customers", "notes") == (
        5,
        5,
        done["notes"],
    )
    assert columns(done, "recorded", "customers") == (6, 5)
    assert [columns(note, "line", "what", "customer_id") for note in done["notes"]] == [
        (0, "outlived", str(later))
    ]
    assert {status(shop, customer) for customer in given_up} == {"opted_out"}
    assert customer_of(shop, given_up[0])["sms_consent_at"] == at
    row = shop.queue_row(shop.send_log(later), later)
    newcomer, elsewhere = (
        shop.due_text(phone=MIAMI),
        shop.neighbor().due_text(phone=MIAMI),
    )
    shop.run()
    assert shop.ends(row, newcomer, elsewhere) == "completed cancelled completed"


def test_a_date_that_says_nothing_is_named_by_its_line_and_costs_no_other(
    shop: Shop,
) -> None:
    """It has not come, is too long ago or on no calendar. Read as now it would end an opt-in that came since."""
    dates = [
        None, "2027-12-24T00:00:00Z", "1970-01-01T00:00:00Z", "24.11.2026", 5,
        "2026-13-41T00:00:00Z", "2026-11-24T24:61:00Z",
    ]  # fmt: skip
    lines = [{"line": n, "phone": PHONE, "at": at} for n, at in enumerate(dates)]
    customer = opt_in(shop, shop.now() - DAY)
    done = import_from(
        shop, *lines, {"phone": MIAMI, "at": "2026-02-30T12:00:00-05:00"}
    )
    assert done["recorded"] == 1
    assert [columns(note, "line", "what") for note in done["notes"]] == [
        (n, "unreadable") for n in range(len(dates))
    ]
    assert (
        shop.value("select dated from smsretry.consents").isoformat()[:10]
        == "2026-03-02"
    )
    assert (status(shop, customer), is_out(shop)) == ("opted_in", False)


STORIES = {
    "the latest of a number's lines counts, within a call and between two; a start does not take it back": """
        customer
        sql update customers set sms_consent_at = '2027-01-08 17:00+00'
        they write STOP
        select recorded || ', ' || known from import_sms_opt_outs('[ \
            {"line":2, "phone":"+12125550123", "at":"2027-01-11T17:00:00+00:00"}, \
            {"line":3, "phone":"+12125550123", "at":"2027-01-09T17:00:00+00:00"}]', \
            business_id => {business}, dry_run => false, who => 'Ann', because => 'Moved'): 1, 1
        select dated from smsretry.standing_words where source like 'import%' and customer_id is null: \
2027-01-11 17:00:00+00:00
        consents: (opted_out, import_2027-01-12)
        select known from import_sms_opt_outs('[{"line":2, "phone":"+12125550123", "at":"2027-01-09T17:00:00Z"}]', \
            business_id => {business}, dry_run => false, who => 'Ann', because => 'Moved'): 1
        select recorded from import_sms_opt_outs('[{"line":2, "phone":"+12125550123","at":"2027-01-12T17:00:00Z"}]', \
            business_id => {business}, dry_run => false, who => 'Ann', \
            because => 'Moved'): 1
        1 minute
        they write START
        consents: (opted_out, import_2027-01-12)
        a person records opted_in by form
        their opt-out stands: False""",
    "an import for all holds at each business that knows the number or gets to know it, but for a later opt-in": """
        customer her
        neighbor's customer theirs
        sql update customers set sms_consent_at = smsretry.clock() where id = {her}
        select recorded || ', ' || customers || ', ' || (notes -> 0 ->> 'customer_id') from import_sms_opt_outs( \
            '[{"line":2, "phone":"+12125550123", "at":"2027-01-11T17:00:00Z"}]', all_businesses => true, \
            dry_run => false, who => 'Ann', because => 'Moved'): 1, 1, her
        select recorded || ', ' || known || ', ' || customers from import_sms_opt_outs( \
            '[{"line":2, "phone":"+12125550123", "at":"2027-01-11T17:00:00Z"}]', all_businesses => true, \
            dry_run => false, who => 'Ann', because => 'Moved'): 0, 1, 0
        another text it to her
        neighbor's text later
        run: Cancelled, Sent
        it.status: completed
        later.status: cancelled""",
}


@pytest.mark.parametrize("story", STORIES)
def test_of_imports(shop: Shop, story: str) -> None:
    """Whom it concerns."""
    Story(shop).tell(STORIES[story])


def test_a_line_that_is_no_number_costs_no_other(shop: Shop) -> None:
    """Its line is named, and nothing else of it."""
    numbers: list[Any] = [
        12125550100,
        "2125550100",
        "+1212555010'",
        "+" + "1" * 5000,
        PHONE + "\n",
    ]
    lines: list[Any] = [
        1,
        "+12125550100",
        None,
        [],
        {},
        *({"phone": number} for number in numbers),
    ]
    for line in lines:
        done = import_from(shop, line, opted_out(phone=MIAMI, line=9))
        assert done["recorded"] + done["known"] == 1, line
        assert [columns(note, "line", "what") for note in done["notes"]] == [
            (1, "unreadable")
        ], line
        assert "555" not in json.dumps(done["notes"])


def test_an_import_that_leaves_something_open_records_nothing(shop: Shop) -> None:
    """For whom, who and why; and a call has an end, which is where the package has it."""
    wrong: list[tuple[int, dict[str, Any], str]] = [
        (1, {"business_id": UUID(int=1)}, "SR404"), (1, {"all_businesses": True}, "SR422"),
        (1, {"business_id": None}, "SR422"), (1, {"who": ""}, "SR422"),
        (1, {"because": f"She called from {PHONE}"}, "SR422"),
        (NUMBERS_OF_A_CALL + 1, {}, "SR422"),
    ]  # fmt: skip
    for lines, options, state in wrong:
        with pytest.raises(psycopg.Error) as refused:
            import_from(shop, *[opted_out()] * lines, **options)
        assert (options, refused.value.sqlstate) == (options, state)
    assert not is_out(shop)
