"""What people do with senders, as the SQL functions do it."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.local.stack import Stack
from tests.conftest import Business
from tests.support.builders import ACCOUNT, AT_ONCE, SENDER, fates_of, run_over
from tests.support.waiting import until_locked_out

NUMBER = "+12125550199"
OTHER = "MG" + "2" * 32
HOUR = timedelta(hours=1)
SIGNED: dict[str, Any] = {"who": "Ann", "because": "It is registered"}


def call(business: Business, function: str, **values: Any) -> dict[str, Any]:
    """Call a function as the application may; its first row."""
    arguments = ", ".join(f"{name} => %({name})s" for name in values)
    found = business.connection.execute(f"select * from {function}({arguments})".encode(), values).fetchone()
    assert found is not None
    return found


def add(business: Business, sent_by: str = SENDER, **values: Any) -> dict[str, Any]:
    """Give a business a sender."""
    return call(
        business,
        "add_sms_sender",
        **{"business_id": business.id, "account": ACCOUNT, "sent_by": sent_by, **SIGNED, **values},
    )


def sender_of(business: Business, message_class: str = "marketing") -> str | None:
    """What its texts go out from."""
    found = business.connection.execute(
        "select (smsretry.sender_of(%s, %s)).sent_by as sent_by", [business.id, message_class]
    ).fetchone()
    assert found is not None
    return found["sent_by"] and str(found["sent_by"])


def listed(business: Business, **values: Any) -> list[dict[str, Any]]:
    """All senders; the environment's is the first."""
    arguments = ", ".join(f"{name} => %({name})s" for name in values)
    return business.connection.execute(f"select * from sms_senders({arguments})".encode(), values).fetchall()


@pytest.fixture
def neighbor(business: Business) -> Business:
    """Another business."""
    return Business(business.connection, business.now).open()


def test_a_business_gets_a_sender_and_others_share_it(business: Business, neighbor: Business) -> None:
    """One row for the sender, whoever uses it; its rate is the one it has."""
    first = add(business, segments_per_second=3, segments_per_day=2000)
    again = add(neighbor)
    assert (first["businesses"], again["businesses"], again["sender_id"]) == (1, 2, first["sender_id"])
    assert sender_of(business) == sender_of(neighbor) == SENDER
    [one] = listed(business)
    assert (one["segments_per_second"], one["segments_per_day"], one["used_today"], one["businesses"]) == (
        3,
        2000,
        0,
        2,
    )
    with pytest.raises(psycopg.Error, match=r"another rate or cap already \(3 a second, 2000 a day\)") as refused:
        add(neighbor, segments_per_second=4)
    assert refused.value.sqlstate == "SR422"


def test_a_class_s_own_sender_outranks_the_one_for_any(business: Business) -> None:
    """And when it is removed, that one sends again; then the environment's."""
    add(business)
    add(business, OTHER, message_class="marketing")
    assert (sender_of(business), sender_of(business, "transactional")) == (OTHER, SENDER)
    call(business, "remove_sms_sender", business_id=business.id, message_class="marketing", **SIGNED)
    assert sender_of(business) == SENDER
    assert call(business, "remove_sms_sender", business_id=business.id, **SIGNED)["businesses"] == 0
    assert sender_of(business) is None
    assert [one["sender_id"] for one in listed(business)] == [], "a sender that nobody uses is gone"


def test_a_sender_that_cannot_be_one_is_refused_in_words(business: Business) -> None:
    """Nothing is kept, and no value is quoted: it may be somebody's number."""
    refusals: list[tuple[dict[str, Any], str]] = [
        ({"account": SENDER}, "account must be an account's SID"),
        ({"account": None}, "account must be an account's SID"),
        ({"sent_by": ACCOUNT}, "sent_by must be a messaging service's SID"),
        ({"sent_by": "12125550199"}, "sent_by must be"),
        ({"sent_by": f"{SENDER}\n"}, "sent_by must be"),
        ({"segments_per_second": 0}, "segments_per_second must be 0.01 to 1000"),
        ({"segments_per_second": float("nan")}, "segments_per_second must be 0.01 to 1000"),
        ({"segments_per_second": float("inf")}, "segments_per_second must be 0.01 to 1000"),
        ({"segments_per_day": 0}, "segments_per_day must be at least 1"),
        ({"segments_per_day": -1}, "segments_per_day must be at least 1"),
        ({"message_class": "promotional"}, "message_class must be marketing or transactional"),
        ({"business_id": UUID(int=1)}, "There is no business with this id"),
        ({"who": None}, "who and because must be given"),
        ({"because": "+1 212 555 0199 is theirs"}, "must hold no phone number"),
    ]
    for values, words in refusals:
        with pytest.raises(psycopg.Error, match=words) as refused:
            add(business, **values)
        assert (refused.value.sqlstate, "5550199" in str(refused.value)) == ("SR422", False)
        assert listed(business) == []


def test_a_second_active_sender_is_refused_and_a_paused_one_is_replaced(business: Business) -> None:
    """The refusal names the first one, masked, and what to do. The order may say that it is meant."""
    add(business, NUMBER)
    with pytest.raises(
        psycopg.Error, match=f"already has an active sender for any texts: …0199 of account {ACCOUNT}. Replace"
    ) as refused:
        add(business)
    assert (refused.value.sqlstate, sender_of(business)) == ("SR422", NUMBER)
    assert add(business, dry_run=True, replace=True)["released"] == 0
    assert sender_of(business) == NUMBER, "it was only tried"
    add(business, replace=True)
    assert sender_of(business) == SENDER
    call(business, "pause_sms_sender", named=SENDER, **SIGNED)
    add(business, NUMBER)
    assert sender_of(business) == NUMBER
    assert [one["sender"] for one in listed(business)] == ["…0199"]


def test_what_waited_for_a_sender_is_due_when_it_is_resumed(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """A text of a paused sender is held, says why, and costs no attempt."""
    own = stack.settings()
    add(business, own.twilio_sender, account=own.twilio_account_sid)
    call(business, "pause_sms_sender", named=own.twilio_sender, who="Ann", because="The campaign is suspended")
    row = business.due_text()
    assert fates_of(run_over(queue, sender, AT_ONCE)) == ["Held"]
    held = business.row(row)
    assert (held["why_code"], held["attempt_count"]) == ("sender_paused", 0)
    [listed_one] = listed(business)
    assert (listed_one["held"], listed_one["paused_because"]) == (1, "The campaign is suspended")
    assert listed_one["used_by"][0] | {"why": ""} == {
        "business_id": str(business.id), "business": "Maple Street Dental", "message_class": "any",
        "due": 0, "waiting": 0, "held": 1, "why_code": "sender_paused", "why": "",
    }  # fmt: skip
    assert [event["code"] for event in listed_one["events"]] == ["paused", "added"]
    assert call(business, "resume_sms_sender", named=own.twilio_sender, **SIGNED)["released"] == 1
    assert fates_of(run_over(queue, sender, AT_ONCE)) == ["Sent"]
    [attempt] = business.attempts_of(row)
    assert (attempt["sent_by"], attempt["sent_account"]) == (own.twilio_sender, own.twilio_account_sid)


@pytest.mark.parametrize(
    ("order", "code"),
    [
        *((order, "sender_paused") for order in ("add", "replace", "change", "resume", "remove")),
        *(("resume", code) for code in ("no_credentials", "day_spent", "account_refused", "sending_stopped")),
        ("resume", "quiet_hours"),
    ],
)
def test_an_order_about_a_sender_lets_what_waited_for_it_go_at_once(
    business: Business, neighbor: Business, code: str, order: str
) -> None:
    """What waits for its hour waits on, and so does what another business has."""
    if order != "add":
        add(business, OTHER, segments_per_day=1)
    add(neighbor, NUMBER)
    rows = [one.due_text(due=HOUR) for one in (business, neighbor)]
    business.connection.execute(
        "update sms_retry_queue set why_code = %s, why = 'It waits', held_since = smsretry.clock()", [code]
    )
    told = {
        "add": lambda: add(business),
        "replace": lambda: add(business, replace=True),
        "change": lambda: call(business, "change_sms_sender", named=OTHER, segments_per_day=2, **SIGNED),
        "resume": lambda: call(business, "resume_sms_sender", named=OTHER, **SIGNED),
        "remove": lambda: call(business, "remove_sms_sender", business_id=business.id, **SIGNED),
    }[order]()
    waited = code != "quiet_hours"
    assert told["released"] == waited
    assert [business.row(row)["scheduled_for"] <= business.now() for row in rows] == [waited, False]


def test_an_order_about_a_sender_leaves_texts_in_doubt_those_due_and_those_that_are_locked(
    stack: Stack, business: Business
) -> None:
    """Evidence is looked for at its own times, what is due keeps its place, and nobody is waited for."""
    add(business)
    waits, doubtful, locked = (business.due_text(due=HOUR) for _ in range(3))
    due = business.due_text()
    business.connection.execute("update sms_retry_queue set why_code = 'sending_stopped'")
    business.connection.execute(
        "update sms_retry_queue set in_doubt_since = smsretry.clock(), attempt_id = gen_random_uuid() where id = %s",
        [doubtful],
    )
    others = [business.row(row)["scheduled_for"] for row in (doubtful, locked, due)]
    with stack.connect() as other, other.transaction(), business.connection.transaction():
        other.execute("select from sms_retry_queue where id = %s for update", [locked])
        business.connection.execute("set local lock_timeout = '100ms'")
        assert call(business, "resume_sms_sender", named=SENDER, **SIGNED)["released"] == 1
    assert business.row(waits)["scheduled_for"] <= business.now()
    assert [business.row(row)["scheduled_for"] for row in (doubtful, locked, due)] == others


def test_of_two_who_give_a_business_its_first_sender_at_once_the_second_is_told(
    stack: Stack, business: Business
) -> None:
    """As if the first one had been there all along."""
    order = "select add_sms_sender(%s, %s, %s, who => 'Ann', because => 'It is registered')"
    with ThreadPoolExecutor(1) as pool, stack.connect() as faster:
        with faster.transaction():
            faster.execute(order, [business.id, ACCOUNT, NUMBER])
            second = pool.submit(business.connection.execute, order, [business.id, ACCOUNT, OTHER])
            until_locked_out(business.connection, seen_by=faster)
        with pytest.raises(psycopg.Error, match="already has an active sender"):
            second.result()
    assert sender_of(business) == NUMBER


STOP = """insert into smsretry.stops (kind, subject, since, why)
          select case when s.id is null then 'everybody' else 'sender' end, coalesce(s.id::text, ''),
                 smsretry.clock(), 'Refused'
          from (select %s::text as named) n left join smsretry.senders s on s.sent_by = n.named"""


def test_resuming_or_removing_a_sender_lifts_its_stop_and_no_other(business: Business, neighbor: Business) -> None:
    """A sender that is gone has nothing to be tried."""
    add(business)
    add(neighbor, OTHER)

    def stopped() -> list[str]:
        found = business.connection.execute(
            """select coalesce(e.sent_by, '') as sender from smsretry.stops s
               left join smsretry.senders e on e.id::text = s.subject order by 1"""
        ).fetchall()
        return [one["sender"] for one in found]

    for who in ("", SENDER, OTHER):
        business.connection.execute(STOP, [who])
    call(business, "resume_sms_sender", named=SENDER, **SIGNED)
    assert stopped() == ["", OTHER]
    call(neighbor, "remove_sms_sender", business_id=neighbor.id, **SIGNED)
    assert stopped() == [""]


def test_a_sender_is_named_by_id_sid_or_number_and_no_two_at_once(business: Business, neighbor: Business) -> None:
    """A number that moved to another account is two senders."""
    one = add(business, NUMBER)
    assert call(business, "pause_sms_sender", named=NUMBER, **SIGNED)["sender"] == "…0199"
    assert (
        call(business, "resume_sms_sender", named=str(one["sender_id"]).upper(), **SIGNED)["sender_id"]
        == one["sender_id"]
    )
    add(neighbor, NUMBER, account="AC" + "9" * 32)
    for named, words in (
        (NUMBER, "Two accounts have this sender"),
        (str(uuid4()), "no such sender"),
        (None, "no such sender"),
    ):
        with pytest.raises(psycopg.Error, match=words) as refused:
            call(business, "pause_sms_sender", named=named, **SIGNED)
        assert refused.value.sqlstate == "SR422"


def test_a_rate_and_a_cap_are_changed_or_taken_away(business: Business) -> None:
    """What is not named stays as it is."""
    add(business, segments_per_second=1, segments_per_day=10)

    def change(**values: Any) -> tuple[Any, Any]:
        call(business, "change_sms_sender", named=SENDER, **SIGNED, **values)
        [one] = listed(business)
        return one["segments_per_second"], one["segments_per_day"]

    assert change(segments_per_second=2.5) == (2.5, 10)
    assert change(segments_per_day=20) == (2.5, 20)
    assert change(unlimited=["segments_per_day"]) == (2.5, None)
    for values in ({}, {"unlimited": ["both"]}, {"segments_per_second": 0}, {"segments_per_day": 0}):
        with pytest.raises(psycopg.Error) as refused:
            change(**values)
        assert refused.value.sqlstate == "SR422"


def test_senders_are_listed_page_by_page(business: Business) -> None:
    """Each once."""
    for number in range(5):
        add(Business(business.connection, business.now).open(), f"MG{number:032}")
    business.due_text()
    pages, after = list[list[dict[str, Any]]](), None
    while not pages or pages[-1]:
        pages.append(listed(business, after_id=after, row_limit=2))
        after = pages[-1][-1]["sender_id"] if pages[-1] else None
    assert [len(page) for page in pages] == [2, 2, 1, 0]
    assert sorted(one["sender"] for page in pages for one in page if one["sender_id"]) == [
        f"MG{n:032}" for n in range(5)
    ]


def test_a_sender_whose_business_is_deleted_goes_with_the_next_order(business: Business, neighbor: Business) -> None:
    """Its row refers to no business any more."""
    add(neighbor, OTHER)
    business.connection.execute("delete from businesses where id = %s", [neighbor.id])
    assert [one["businesses"] for one in listed(business)] == [0]
    add(business)
    assert [one["sender"] for one in listed(business)] == [SENDER]


def test_the_monitor_and_the_status_speak_of_the_sender_that_is_stopped(business: Business, neighbor: Business) -> None:
    """And of sending only if everybody's has stopped."""
    add(business)
    add(neighbor, NUMBER, message_class="marketing")
    business.connection.execute(
        "insert into smsretry.runs (id, started_at, finished_at, told) "
        "select gen_random_uuid(), now, now, '' from smsretry.clock() now"
    )
    neighbor.due_text(due=HOUR)

    def told(*whose: str) -> tuple[str, set[tuple[str, str]]]:
        business.connection.execute("delete from smsretry.stops")
        for one in whose:
            business.connection.execute(STOP, [one])
        status = business.connection.execute("select * from sms_status()").fetchall()
        parts = {(line["part"], line["name"]) for line in status if line["part"] in ("stopped", "sender", "senders")}
        try:
            business.connection.execute("select check_sms_retries()")
        except psycopg.Error as error:
            return str(error.diag.message_primary), parts
        return "ok", parts

    assert told() == ("ok", {("senders", "sending")})
    assert told(NUMBER) == (
        "1 senders are stopped: Refused", {("senders", "sending"), ("senders", "stopped"), ("sender", "…0199")}
    )  # fmt: skip
    business.connection.execute(
        "insert into smsretry.senders (account, sent_by, told_at) values (%s, %s, smsretry.clock())", [ACCOUNT, OTHER]
    )
    assert told(OTHER) == (
        "1 senders are stopped: Refused", {("senders", "sending"), ("stopped", "environment")}
    )  # fmt: skip
    assert told("") == ("sending is stopped: Refused", {("senders", "sending"), ("stopped", "sending")})


def test_a_rate_that_is_too_slow_is_told_also_of_the_environment_s_sender(business: Business) -> None:
    """What is due takes it longer than a text may be late. At a rate that does, nobody is told."""
    business.connection.execute(
        """insert into smsretry.senders (account, sent_by, told_at, segments_per_second)
           values (%s, %s, smsretry.clock(), 0.01)""",
        [ACCOUNT, OTHER],
    )
    for _ in range(6):
        business.due_text()
    status = "select name, why_code, texts from sms_status() where part in ('sender', 'senders')"
    told = business.connection.execute(status).fetchall()
    assert told == [{"name": OTHER, "why_code": "sender_rate", "texts": 6}]
    business.connection.execute("update smsretry.senders set segments_per_second = 1")
    assert business.connection.execute(status).fetchall() == []


def test_a_sender_without_credentials_is_told_with_its_texts(business: Business) -> None:
    """As is one that has used its day, while texts wait for it."""
    add(business, segments_per_day=2)
    business.due_text(due=HOUR)
    business.connection.execute(
        "update sms_retry_queue set held_since = smsretry.clock(), why = 'No credentials', why_code = 'no_credentials'"
    )

    def sender_line() -> dict[str, Any] | None:
        return business.connection.execute("select * from sms_status() where part = 'sender'").fetchone()

    line = sender_line()
    assert line is not None
    assert (line["name"], line["texts"], line["why_code"]) == (SENDER, 1, "no_credentials")
    assert (line["told"], line["business_id"]) == (f"account {ACCOUNT}: No credentials", business.id)
    business.connection.execute("update sms_retry_queue set held_since = null, why_code = 'day_spent'")
    assert sender_line() is None
    business.connection.execute(
        "update smsretry.senders set day_segments = 2, day_ends_at = smsretry.carriers_midnight(smsretry.clock())"
    )
    line = sender_line()
    assert line is not None
    assert (line["why_code"], line["told"]) == ("day_spent", f"account {ACCOUNT}: has used its day")
    assert line["next_at"].astimezone().astimezone(business.now().tzinfo).isoformat() == "2027-01-13T08:00:00+00:00"


def test_an_order_is_carried_out_although_one_business_s_rules_refuse_it(
    business: Business, neighbor: Business
) -> None:
    """A trigger of one that shares the sender. Its texts wait for their own time, and the others' are due."""
    for one in (business, neighbor):
        add(one)
    rows = [one.due_text(due=HOUR) for one in (business, neighbor)]
    business.connection.execute("update sms_retry_queue set why_code = 'sender_paused', why = 'It waits'")
    business.connection.execute(
        f"""create function public.refuse() returns trigger language plpgsql as $$
                begin
                    if old.business_id = '{business.id}' then raise exception 'Not like that'; end if;
                    return new;
                end $$;
            create trigger refuse before update on sms_retry_queue for each row
                execute function public.refuse()""".encode()
    )
    try:
        assert call(business, "resume_sms_sender", named=SENDER, **SIGNED)["released"] == 1
    finally:
        business.connection.execute("drop function public.refuse cascade")
    assert [business.row(row)["scheduled_for"] <= business.now() for row in rows] == [False, True]
