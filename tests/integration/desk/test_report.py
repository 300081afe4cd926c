"""An owner's figures, beside plain counts."""

import csv
import io
import json
from datetime import timedelta

from tests.integration.conftest import Command
from tests.integration.hearing import hear
from tests.support.builders import PHONE
from tests.support.shop import Shop


def test_an_owner_gets_her_figures_by_business_and_month(
    shop: Shop, command: Command
) -> None:
    """By command, as JSON and as CSV, in which a business's name is no formula."""
    shop.sql("update businesses set name = '=1+1'")
    lost, _, failed = (
        shop.due_text(phone=phone) for phone in ("+12125550177", "+12125550178", None)
    )
    shop.due_text(due=timedelta(hours=1))
    shop.neighbor().due_text()
    assert sorted(shop.run()) == ["Failed", "Sent", "Sent", "Sent"]
    shop.sql(
        """update sms_send_attempts set delivery_status = 'undelivered', delivery_code = 30003,
           delivery_at = begun_at where retry_id = %s""",
        lost,
    )
    assert hear(shop, body="STOP")[0] == "opted_out"
    ask = ("report", "--business", shop.id)
    [row] = json.loads(command(*ask, "--json").stdout)["rows"]
    assert list(row)[:4] == ["month", "business", "business_id", "sent"]
    del row["business_id"]
    assert row == {
        "month": "2027-01",
        "business": "=1+1",
        "sent": 2,
        "segments": 2,
        "arrived": 0,
        "lost": {"30003": 1},
        "failed": {"no_phone": 1},
        "cancelled": {"opted_out": 1},
        "opted_out": 1,
    }
    [line] = csv.DictReader(io.StringIO(command(*ask, "--csv").stdout))
    assert (line["business"], line["lost"]) == ("'=1+1", "30003: 1")
    everybody = json.loads(command("report", "--json").stdout)["rows"]
    assert [row["sent"] for row in everybody] == [2, 1]
    gone_from = (ask[0], "opted_out", *ask[1:], "--json")
    [gone] = json.loads(command(*gone_from).stdout)["rows"]
    assert (gone["number"], gone["reason"]) == (f"…{PHONE[-4:]}", "inbound_stop")
    rows = json.loads(command("report", "lost", "--json").stdout)["rows"]
    assert {row["retry_id"] for row in rows} == {str(lost), str(failed)}
    told = command("report").stdout
    assert told.startswith("Texts by business and month: 2\n")
    assert "sent 2, segments 2, arrived 0, lost 30003: 1, failed no_phone: 1" in told


def test_a_planned_text_that_is_cancelled_counts_once(
    shop: Shop, command: Command
) -> None:
    """Whether it was a text already or not yet."""
    shop.scheduled(due=timedelta(minutes=1))
    shop.queue.queue_scheduled(10, timedelta(minutes=5))
    shop.scheduled(due=timedelta(hours=1), phone="+12125550177")
    shop.sql("update scheduled_sends set status = 'cancelled'")
    [row] = json.loads(command("report", "--json").stdout)["rows"]
    assert row["cancelled"] == {"application": 2}


def test_a_text_that_was_lost_twice_counts_once(shop: Shop, command: Command) -> None:
    """Its messages are billed, both; and one that arrived after all did arrive."""
    shop.due_text()
    shop.run()
    for lost in range(2):
        shop.sql(
            """insert into sms_send_attempts (id, retry_id, business_id, attempt_number, claim_no, begun_at,
                   finished_at, outcome, settled_by, twilio_sid, segments)
               select gen_random_uuid(), retry_id, business_id, 2, 2 + %s,
                   begun_at - interval '1 hour' * (1 + %s), begun_at, 'accepted', 'response', twilio_sid || %s, 1
               from sms_send_attempts order by begun_at desc limit 1""",
            *(lost, lost, lost),
        )
    became = "update sms_send_attempts set delivery_status = %s, delivery_code = %s, delivery_at = begun_at"
    for last, counts in (
        ("undelivered", (1, 3, 0, {"30005": 1})),
        ("delivered", (1, 3, 1, None)),
    ):
        shop.sql(became, "undelivered", 30005)
        shop.sql(
            f"{became} where claim_no = 2",
            last,
            30005 if last == "undelivered" else None,
        )
        [row] = json.loads(command("report", "--json").stdout)["rows"]
        assert (
            tuple(row[name] for name in ("sent", "segments", "arrived", "lost"))
            == counts
        )


def test_a_report_has_every_row(shop: Shop, command: Command) -> None:
    """However many there are, and none of another time."""
    row = shop.due_text(phone=None)
    shop.run()
    shop.sql(
        """insert into sms_retry_queue (business_id, send_log_id, customer_id, status, scheduled_for, updated_at,
                                        last_error, why_code)
           select business_id, gen_random_uuid(), customer_id, status, scheduled_for, updated_at, last_error, why_code
           from sms_retry_queue, generate_series(1, 1200) where id = %s""",
        row,
    )
    ask = ("report", "lost", "--csv")
    assert len(command(*ask).stdout.splitlines()) == 1202
    assert command(*ask, "--since", "2027-02-01", "--until", "2027-03-01").stdout == ""
