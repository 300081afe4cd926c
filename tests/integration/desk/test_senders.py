"""What people do with senders, as the SQL functions do it, and what the status says of them."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final
from uuid import UUID, uuid4

import psycopg
import pytest

from smsretry.adapters.supabase.operators import SupabaseOperators
from tests.support.builders import ACCOUNT, SENDER
from tests.support.shop import Shop
from tests.support.waiting import until_locked_out

NUMBER = "+12125550199"
OTHER = "MG" + "2" * 32
HOUR = timedelta(hours=1)
SIGNED: Final[dict[str, Any]] = {"who": "Ann", "because": "It is registered"}


def call(shop: Shop, function: str, **values: Any) -> dict[str, Any]:
    """Call a function as the application may; its first row."""
    arguments = ", ".join(f"{name} => %({name})s" for name in values)
    record = shop.connection.execute(
        f"select * from {function}({arguments})".encode(), values
    ).fetchone()
    assert record is not None
    return record


def add(shop: Shop, sent_by: str = SENDER, **values: Any) -> dict[str, Any]:
    """Give a business a sender."""
    given = {
        "business_id": shop.id,
        "account": ACCOUNT,
        "sent_by": sent_by,
        **SIGNED,
        **values,
    }
    return call(shop, "add_sms_sender", **given)


def named(
    shop: Shop, what: str, sender: str | None = SENDER, **values: Any
) -> dict[str, Any]:
    """Pause, resume or change a sender."""
    more = {} if what == "change" else {"paused": what == "pause"}
    return call(shop, "change_sms_sender", named=sender, **SIGNED, **values, **more)


def sender_of(shop: Shop, message_class: str = "marketing") -> str | None:
    """What its texts go out from."""
    query = "select (smsretry.sender_of(%s, %s)).sent_by::text"
    sent_by: str | None = shop.value(query, shop.id, message_class)
    return sent_by


def listed(shop: Shop) -> list[dict[str, Any]]:
    """All senders."""
    return shop.sql("select * from sms_senders()")


RUN = """insert into smsretry.runs (id, started_at, finished_at, summary)
         select gen_random_uuid(), now, now, '' from smsretry.clock() now"""
NAMED = "insert into smsretry.senders (account, sent_by, named_at) values (%s, %s, smsretry.clock())"
WAITING = ("due", "waiting", "held")


def status_of_senders(shop: Shop) -> list[tuple[Any, ...]]:
    """What the status says of stops, and of senders: name, code and texts."""
    status = shop.value("select sms_status()")
    stops = [("stopped", stop["what"], None, None) for stop in status["stops"]]
    return stops + [
        ("sender", own["sender"], own["why_code"], sum(own[n] for n in WAITING))
        for own in status["senders"]
    ]


def monitored(shop: Shop) -> str:
    """What an uptime monitor hears: ok, or what is wrong."""
    try:
        return str(call(shop, "check_sms_retries")["check_sms_retries"])[:2]
    except psycopg.Error as error:
        return str(error.diag.message_primary)


@pytest.fixture
def neighbor(shop: Shop) -> Shop:
    """Another business."""
    return shop.neighbor()


def test_a_sender_is_shared_outranked_by_a_class_s_own_and_gone_with_its_last_business(
    shop: Shop, neighbor: Shop
) -> None:
    """One row for the sender, whoever uses it; its rate is the one it has."""
    first_record = add(shop, segments_per_second=3, segments_per_day=2000)
    again = add(neighbor)
    assert (first_record["businesses"], again["businesses"], again["sender_id"]) == (
        1,
        2,
        first_record["sender_id"],
    )
    assert sender_of(shop) == sender_of(neighbor) == SENDER
    [record] = listed(shop)
    assert [
        record[name]
        for name in ("segments_per_second", "segments_per_day", "used_today")
    ] == [3, 2000, 0]
    with pytest.raises(
        psycopg.Error, match=r"another rate or cap already \(3 a second, 2000 a day\)"
    ):
        add(neighbor, segments_per_second=4)
    add(shop, OTHER, message_class="marketing")
    assert (sender_of(shop), sender_of(shop, "transactional")) == (OTHER, SENDER)
    call(
        shop,
        "remove_sms_sender",
        business_id=shop.id,
        message_class="marketing",
        **SIGNED,
    )
    assert sender_of(shop) == SENDER
    shop.sql("delete from businesses where id = %s", neighbor.id)
    assert (
        call(shop, "remove_sms_sender", business_id=shop.id, **SIGNED)["businesses"]
        == 0
    )
    assert (sender_of(shop), listed(shop)) == (None, [])


def test_a_sender_that_cannot_be_is_refused_and_its_number_not_repeated(
    shop: Shop,
) -> None:
    """In a sentence, and nothing is kept."""
    refusals: list[tuple[dict[str, Any], str]] = [
        ({"account": SENDER}, "sent_by must be the sender's id"),
        ({"account": None}, "account must be the account's id"),
        ({"sent_by": ACCOUNT}, "sent_by must be the sender's id"),
        ({"sent_by": "12125550199"}, "sent_by must be"),
        ({"sent_by": f"{SENDER}\n"}, "sent_by must be"),
        *(
            ({"segments_per_second": rate}, "must be 0.01 to 1000")
            for rate in (0, float("nan"), float("inf"))
        ),
        *(
            ({"segments_per_day": cap}, "segments_per_day must be at least 1")
            for cap in (0, -1)
        ),
        (
            {"message_class": "promotional"},
            "message_class must be marketing or transactional",
        ),
        ({"business_id": UUID(int=1)}, "There is no business with this id"),
        ({"who": None}, "Say who you are"),
        ({"because": "+1 212 555 0199 is theirs"}, "Leave phone numbers out of who"),
    ]
    for values, words in refusals:
        with pytest.raises(psycopg.Error, match=words) as refused:
            add(shop, **values)
        assert (refused.value.sqlstate, "5550199" in str(refused.value)) == (
            "SR422",
            False,
        )
        assert listed(shop) == []


def test_a_second_active_sender_is_refused_and_a_paused_one_is_replaced(
    shop: Shop,
) -> None:
    """The refusal names the first one, masked, and what to do. The order may say that it is meant."""
    add(shop, NUMBER)
    with pytest.raises(
        psycopg.Error,
        match=f"an active sender for any texts: …0199 of account {ACCOUNT}. Replace",
    ):
        add(shop)
    add(shop, dry_run=True, replace=True)
    assert sender_of(shop) == NUMBER, "it was only tried"
    add(shop, replace=True)
    assert sender_of(shop) == SENDER
    named(shop, "pause")
    add(shop, NUMBER)
    assert sender_of(shop) == NUMBER
    [record] = listed(shop)
    assert (record["sender"], record["used_by"]) == ("…0199", ["Maple Street Dental"])


def test_two_people_who_give_a_business_its_first_sender_at_once_do_not_overrule_each_other(
    shop: Shop,
) -> None:
    """The second waits, and is told of the first."""
    with ThreadPoolExecutor(1) as pool, shop.stack.connect() as other_connection:
        with other_connection.transaction():
            add(replace(shop, connection=other_connection))
            second = pool.submit(add, shop, OTHER)
            until_locked_out(shop.connection, seen_by=other_connection)
        with pytest.raises(psycopg.Error, match="an active sender for any texts"):
            second.result()
    assert sender_of(shop) == SENDER


def test_a_list_of_senders_is_read_to_its_end(
    shop: Shop, operators: SupabaseOperators
) -> None:
    """Though each answer is cut off after the first."""
    add(shop, message_class="marketing")
    add(shop, OTHER, message_class="transactional")
    shop.stack.rpc_faults.max_rows = 1
    assert {sender.sent_by for sender in operators.senders()} == {SENDER, OTHER}


def test_an_order_about_a_sender_lets_what_waited_for_it_go_at_once(
    shop: Shop, neighbor: Shop
) -> None:
    """What waits for its hour waits on, and so does what another business has."""
    add(neighbor, NUMBER)
    rows = [one.due_text(due=HOUR) for one in (shop, neighbor)]
    orders = {
        "add": lambda: add(shop),
        "replace": lambda: add(shop, replace=True),
        "change": lambda: named(shop, "change", OTHER, segments_per_day=2),
        "resume": lambda: named(shop, "resume", OTHER),
        "remove": lambda: call(
            shop, "remove_sms_sender", business_id=shop.id, **SIGNED
        ),
    }
    codes = (
        "sender_paused",
        "no_credentials",
        "day_spent",
        "account_refused",
        "sending_stopped",
        "quiet_hours",
    )
    for order, code in [
        *((order, codes[0]) for order in orders),
        *(("resume", code) for code in codes),
    ]:
        with shop.connection.transaction(force_rollback=True):
            if order != "add":
                add(shop, OTHER, segments_per_day=1)
            shop.sql(
                "update sms_retry_queue set why_code = %s, why = 'It waits', held_since = smsretry.clock()",
                code,
            )
            waited = code != "quiet_hours"
            assert orders[order]()["released"] == waited, (order, code)
            assert [shop.row(row)["scheduled_for"] <= shop.now() for row in rows] == [
                waited,
                False,
            ]


def test_resuming_a_sender_lifts_all_that_its_trouble_has_stopped(shop: Shop) -> None:
    """Its businesses, too. A new rate takes back the slots that were reserved at the old one."""
    add(shop, segments_per_second=0.01)
    for _ in range(2):
        shop.due_text()
    shop.sql(
        "update smsretry.senders set free_at = smsretry.clock() + interval '9 minutes'"
    )
    shop.sql(
        """insert into smsretry.stops (kind, subject, since, why)
           values ('business', %s, smsretry.clock(), 'It failed')""",
        str(shop.id),
    )
    assert shop.claims() == []
    named(shop, "resume", segments_per_second=10)
    assert len(shop.claims()) == 2


def test_the_environments_sender_frees_whoever_has_one_for_the_other_class_alone(
    shop: Shop,
) -> None:
    """Those texts of a business for which it has no sender of its own."""
    shop.sql(NAMED, ACCOUNT, OTHER)
    add(shop, message_class="marketing")
    shop.due_text(due=HOUR)
    shop.sql(
        "update sms_retry_queue set message_class = 'transactional', why_code = 'sender_paused'"
    )
    assert named(shop, "resume", OTHER)["released"] == 1


def test_an_order_about_a_sender_leaves_what_is_in_doubt_due_or_locked(
    shop: Shop,
) -> None:
    """Evidence is looked for at its own times, what is due keeps its place, and nobody is waited for."""
    add(shop)
    waits, *others = (shop.due_text(due=due) for due in (HOUR, HOUR, HOUR, -HOUR))
    doubtful, locked, _ = others
    shop.sql("update sms_retry_queue set why_code = 'sending_stopped'")
    shop.sql(
        "update sms_retry_queue set in_doubt_since = smsretry.clock(), attempt_id = gen_random_uuid() where id = %s",
        doubtful,
    )
    before = [shop.row(row)["scheduled_for"] for row in others]
    with (
        shop.locked("sms_retry_queue where id = %s", locked),
        shop.connection.transaction(),
    ):
        shop.sql("set local lock_timeout = '100ms'")
        assert named(shop, "resume")["released"] == 1
    assert shop.row(waits)["scheduled_for"] <= shop.now()
    assert [shop.row(row)["scheduled_for"] for row in others] == before


def test_a_sender_is_named_by_id_sid_or_number_and_no_two_at_once(
    shop: Shop, neighbor: Shop
) -> None:
    """A number that moved to another account is two senders."""
    record = add(shop, NUMBER)
    assert named(shop, "pause", NUMBER)["sender"] == "…0199"
    assert (
        named(shop, "resume", str(record["sender_id"]).upper())["sender_id"]
        == record["sender_id"]
    )
    add(neighbor, NUMBER, account="AC" + "9" * 32)
    for name, words in (
        (NUMBER, "Two accounts have this sender"),
        (str(uuid4()), "no such"),
        (None, "no such"),
    ):
        with pytest.raises(psycopg.Error, match=words) as refused:
            named(shop, "pause", name)
        assert refused.value.sqlstate == "SR422"


STOP = """insert into smsretry.stops (kind, subject, since, why)
                 select case when s.id is null then 'everybody' else 'sender' end, coalesce(s.id::text, ''),
                        smsretry.clock(), 'Refused'
                 from (select %s::text as named) n left join smsretry.senders s on s.sent_by = n.named"""


def test_the_monitor_and_the_status_speak_of_the_sender_that_is_stopped_until_its_stop_is_lifted(
    shop: Shop, neighbor: Shop
) -> None:
    """And of sending only if everybody's has stopped. Resuming or removing a sender lifts its own stop."""
    add(shop)
    add(neighbor, NUMBER, message_class="marketing")
    add(neighbor, OTHER, message_class="transactional")
    shop.sql(RUN)
    environments = "MG" + "5" * 32
    shop.sql(NAMED, ACCOUNT, environments)

    assert (monitored(shop), status_of_senders(shop)) == ("ok", [])
    neighbor.due_text(due=HOUR)
    for who in (NUMBER, OTHER, environments):
        shop.sql(STOP, who)
    assert monitored(shop) == "stopped senders (3): Refused"
    assert status_of_senders(shop) == [
        ("stopped", "default_sender", None, None),
        ("sender", "…0199", "sending_stopped", 1),
        ("sender", OTHER, "sending_stopped", 0),
    ]
    named(shop, "resume", NUMBER)
    call(
        neighbor,
        "remove_sms_sender",
        business_id=neighbor.id,
        message_class="transactional",
        **SIGNED,
    )
    assert monitored(shop) == "stopped senders (1): Refused"
    shop.sql(STOP, "")
    assert monitored(shop) == "sending is stopped: Refused"
    assert [
        name for part, name, *_ in status_of_senders(shop) if part == "stopped"
    ] == [
        "sending",
        "default_sender",
    ]


def test_a_former_default_sender_is_one_like_any_other(shop: Shop) -> None:
    """A run named another one since. Its stop concerns the business that still has it, and no other."""
    shop.sql(NAMED, ACCOUNT, SENDER)
    shop.sql("update smsretry.senders set named_at = named_at - interval '1 hour'")
    shop.sql(NAMED, ACCOUNT, OTHER)
    shop.sql(RUN)
    shop.sql(STOP, SENDER)
    assert (monitored(shop), status_of_senders(shop)) == ("ok", [])
    add(shop)
    assert monitored(shop) == "stopped senders (1): Refused"
    named_at = {sender["sender"]: sender["named_at"] for sender in listed(shop)}
    assert (named_at[SENDER], named_at[OTHER] is not None) == (None, True)
    assert status_of_senders(shop) == [("sender", SENDER, "sending_stopped", 0)]


def test_a_sender_that_keeps_texts_waiting_is_shown_with_how_many(shop: Shop) -> None:
    """Without credentials, with its day used, or too slow for what is due; the environment's, too, if it is slow."""
    shop.sql(
        """insert into smsretry.senders (account, sent_by, named_at, segments_per_second)
           values (%s, %s, smsretry.clock(), 0.01)""",
        *[ACCOUNT, OTHER],
    )
    for _ in range(6):
        shop.due_text()
    assert status_of_senders(shop) == [("sender", OTHER, "sender_rate", 6)]
    shop.sql("update smsretry.senders set segments_per_second = 1")
    assert status_of_senders(shop) == []
    add(shop, segments_per_day=2)
    held = "held_since = smsretry.clock(), why = 'None', why_code = 'no_credentials'"
    day = "day_segments = 2, day_ends_at = smsretry.carriers_midnight(smsretry.clock())"
    for change, why_code in (
        (f"sms_retry_queue set {held}", "no_credentials"),
        ("sms_retry_queue set held_since = null, why_code = 'day_spent'", None),
        (f"smsretry.senders set {day} where sent_by = '{SENDER}'", "day_spent"),
    ):
        shop.sql(f"update {change}")
        lines = [line for line in status_of_senders(shop) if line[0] == "sender"]
        assert lines == ([("sender", SENDER, why_code, 6)] if why_code else [])
