"""A policy value has one home: where Python and SQL both need it, one tells the other, or a test compares them."""

import re
from typing import get_args

import psycopg
import pytest

from smsretry.desk.questions.remedies import SENDERS_REASONS
from smsretry.retry.backoff import RETRY_DELAYS, next_retry_delay
from smsretry.retry.delivery import ASK_DELAYS, FAILURES, FINAL
from smsretry.retry.profile import STALE_MINUTES
from smsretry.vocabulary import (
    MESSAGE_ID,
    WHY_CODES_OF,
    ConsentWord,
    DeliveryStatus,
    Mark,
    MessageClass,
    OutcomeName,
    Reason,
    RowStatus,
    ScheduledStatus,
    SendTo,
    SettledBy,
    StopKind,
    TextState,
    TurnKind,
    WhyCode,
)
from tests.support.builders import SID
from tests.support.shop import Shop

_ATTEMPTS = """
    select column_default from information_schema.columns
    where table_name = 'sms_retry_queue' and column_name = 'max_attempts'
    union all
    select pg_get_functiondef(oid) from pg_proc
    where proname in ('queue_sms_retry', 'change_text', 'preview_sms_retries')
"""

_CHECKS = """
    select a.attrelid::regclass::text as table, a.attname as column,
           string_agg(pg_get_constraintdef(c.oid), ' ') as checks
    from pg_constraint c
    join pg_attribute a on c.contypid = a.atttypid or c.conrelid = a.attrelid and a.attnum = any (c.conkey)
    join pg_class t on t.oid = a.attrelid and t.relkind = 'r'
    where c.contype = 'c' and t.relnamespace in ('public'::regnamespace, 'smsretry'::regnamespace)
    group by 1, 2
"""
"""The checks of each column: its table's, and those of its domain."""
_WORDS = r"(?:\b{}|VALUE)\)?(?:::\w+)? = ANY \(+ARRAY\[(.*?)\]"
STORED_WORDS: dict[str, tuple[str, ...]] = {
    "sms_retry_queue.status": get_args(RowStatus),
    "sms_retry_queue.reason": get_args(Reason),
    "sms_retry_queue.why_code": get_args(WhyCode),
    "sms_retry_queue.message_class": get_args(MessageClass),
    "scheduled_sends.status": get_args(ScheduledStatus),
    "scheduled_sends.why_code": get_args(WhyCode),
    "scheduled_sends.message_class": get_args(MessageClass),
    "sms_send_attempts.outcome": get_args(OutcomeName),
    "sms_send_attempts.settled_by": get_args(SettledBy),
    "sms_send_attempts.delivery_status": (*get_args(DeliveryStatus), "unknown"),
    "smsretry.consents.said": get_args(ConsentWord),
    "smsretry.business_senders.message_class": ("any", *get_args(MessageClass)),
    "smsretry.stops.kind": get_args(StopKind),
    "smsretry.turns.kind": get_args(TurnKind),
    "smsretry.mark.kind": get_args(Mark),
    "smsretry.runs.send_to": get_args(SendTo),
    "customers.sms_consent_status": ("opted_in", "opted_out", "unknown"),
    "send_logs.channel": ("email", "sms"),
}
"""Each column with few permitted words, and where Python has them; the last two are the application's."""


def test_python_reads_the_schedule_of_retries_that_the_database_goes_by(
    shop: Shop,
) -> None:
    """Past its end the last delay repeats."""
    for retries in (*range(len(RETRY_DELAYS) + 2), 1000, 2**31 - 1):
        assert shop.value(
            "select smsretry.retry_delay(%s)", retries
        ) == next_retry_delay(retries)


def test_the_first_question_about_a_delivery_comes_when_the_second_would(
    shop: Shop,
) -> None:
    """The provider's callback mostly comes before. SQL accepts where no Python runs."""
    row = shop.due_text()
    shop.run()
    [attempt] = shop.attempts_of(row)
    assert attempt["delivery_ask_at"] - attempt["finished_at"] == ASK_DELAYS[0]


def test_each_place_that_says_how_many_sends_a_text_has_says_the_same(
    shop: Shop,
) -> None:
    """A row that is inserted, queued or put back, and a planned text in the preview."""
    stated = r"max_attempts integer DEFAULT (\d+)|'max_attempts', (\d+)|attempt_count \+ (\d+)|^(\d+)$"
    numbers = [
        number
        for (source,) in map(dict.values, shop.sql(_ATTEMPTS))
        for match in re.finditer(stated, source)
        for number in filter(None, match.groups())
    ]
    assert numbers == [str(len(RETRY_DELAYS))] * 4, "each has its delay"


def test_without_stale_minutes_recovery_waits_as_long_as_a_run_does(shop: Shop) -> None:
    """The application's call had that default before there was a package."""
    shop.due_text()
    shop.claim()
    recover = "select count(*) from recover_stuck_sms_retries()"
    shop.later(minutes=STALE_MINUTES - 1)
    assert shop.value(recover) == 0
    shop.later(minutes=1)
    assert shop.value(recover) == 1


def test_a_claim_tells_how_long_a_body_may_be_and_no_more_of_a_number_than_its_last_digits(
    shop: Shop,
) -> None:
    """A body of megabytes comes with one character more than it may have. Four digits of five would be nearly all."""
    phones = {"+12125550123": "…0123", "12345": "…", "": "…", None: "…"}
    rows = {
        shop.due_text(phone=phone, body="x" * 5_000_000): digits
        for phone, digits in phones.items()
    }
    for claim in shop.claims():
        assert (claim.longest_body, claim.masked) == (
            shop.value("select smsretry.longest_body()"),
            rows[claim.id],
        )
        assert len(claim.body or "") - 1 == claim.longest_body


def test_python_and_sql_know_the_same_message_ids(shop: Shop) -> None:
    """A form checks one before it is sent, and the database whatever is called. A phone number is none."""
    for sid in (
        SID, SID.replace("SM", "MM"), SID * 2, f" {SID}", f"{SID}\n", "SM", "", "0b7f7a6e-1d3b-4a8e", "212-555-0100",
        "12125550100", "+12125550100", "tel:12125550100",
    ):  # fmt: skip
        assert shop.value("select smsretry.is_message_id(%s)", sid) is bool(
            re.fullmatch(MESSAGE_ID, sid)
        ), sid


def test_python_and_sql_agree_on_what_a_delivery_status_means(shop: Shop) -> None:
    """Python decides what follows from it, and SQL which of two reports is the later one."""
    shop.due_text()
    shop.run()
    for status in get_args(DeliveryStatus):
        [record] = shop.sql(
            """update sms_send_attempts set delivery_status = %s, delivery_at = smsretry.clock()
               returning smsretry.is_lost(delivery_status) as lost, sign(smsretry.delivery_rank(delivery_status)
                                    - smsretry.delivery_rank('undelivered')) as beyond_lost""",
            status,
        )
        assert record["lost"] == (status in FAILURES) == (record["beyond_lost"] == 0), (
            status
        )
        assert (status in FINAL) == (record["beyond_lost"] > 0), status


def test_each_reason_of_a_sender_has_its_remedy_and_sql_knows_the_same_kinds(
    shop: Shop,
) -> None:
    """Whoever adds a reason puts it into its kind alone."""
    assert {*WHY_CODES_OF["sender"], *WHY_CODES_OF["sender_limit"]} == SENDERS_REASONS
    for kind, words in WHY_CODES_OF.items():
        assert shop.value("select smsretry.why_codes_of(%s)", kind) == list(words)


def test_a_column_takes_each_word_of_the_vocabulary_and_no_other(shop: Shop) -> None:
    """A word that is added in Python alone could not be written; one in SQL alone, nobody would understand."""
    lists_by_column = dict[str, tuple[str, ...]]()
    for rule in shop.sql(_CHECKS):
        lists = re.findall(_WORDS.format(rule["column"]), rule["checks"])
        if lists:
            words = max((re.findall(r"'(\w+)'", words) for words in lists), key=len)
            name = f"{rule['table']}.{rule['column']}"
            lists_by_column[name] = tuple(sorted(words))
    assert lists_by_column == {
        column: tuple(sorted(words)) for column, words in STORED_WORDS.items()
    }


def test_a_text_s_state_in_sql_is_one_of_the_vocabulary(shop: Shop) -> None:
    """In each of the three functions that say it."""
    states = shop.value(
        """select string_agg(prosrc, ' ') from pg_proc
           where proname in ('text_state', 'live_state', 'planned_state')"""
    )
    stored = {"scheduled", "failed", "cancelled"}
    assert set(re.findall(r"(?:then|else) '(\w+)'", states)) | stored == set(
        get_args(TextState)
    )


def test_a_table_takes_as_much_as_is_ever_kept(shop: Shop) -> None:
    """Its constraints hold the numbers themselves: lengths of what is written, and the times that are ours."""
    shop.due_text()
    shop.scheduled()
    bounds = [
        (
            f"update {table} set {column} = repeat('x', smsretry.{longest}() + {{}})",
            "0",
            "1",
        )
        for table, column, longest in (
            ("sms_retry_queue", "why", "longest_reason"),
            ("sms_retry_queue", "last_error", "longest_reason"),
            ("scheduled_sends", "why", "longest_reason"),
            ("scheduled_sends", "body", "longest_body"),
        )
    ] + [
        (f"update sms_retry_queue set {column} = '{{}}'", most, beyond)
        for column in (
            "scheduled_for",
            "expires_at",
            "last_attempted_at",
            "created_at",
            "updated_at",
        )
        for most, beyond in (
            ("2000-01-01 00:00+00", "1999-12-31 23:59:59+00"),
            ("2100-01-01 00:00+00", "2100-01-01 00:00:01+00"),
            ("2027-01-01 00:00+00", "infinity"),
            ("2027-01-01 00:00+00", "0044-03-15 12:00+00 BC"),
        )
    ]
    for change, most, beyond in bounds:
        shop.sql(change.format(most))
        with pytest.raises(psycopg.errors.CheckViolation):
            shop.sql(change.format(beyond))
