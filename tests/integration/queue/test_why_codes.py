"""Why a text waits or has ended, in a word for programs: kept with the row, and the same in other sentences."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final
from uuid import UUID

from psycopg.types.json import Jsonb

from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.adapters.twilio.errors import code_meaning
from smsretry.desk.actions.requests import Cancel, Preview, WhichText
from smsretry.desk.desk import Desk
from smsretry.local.twilio.faults import JsonError
from smsretry.retry.profile import DEFAULT
from smsretry.sending.scheduled import queue_scheduled_sends
from tests.integration.conftest import Command
from tests.support.builders import PHONE
from tests.support.orders import ordered, record_consent
from tests.support.shop import Shop

DAY: Final = timedelta(days=1)


def test_what_a_worker_decides_is_kept_and_told_in_a_word(shop: Shop) -> None:
    """With the row and in the run's result alike, beside the provider's own code. What went out has none."""
    rows = {
        shop.due_text(phone="+12125550101"): ("completed", None),
        shop.due_text(phone="+12125550102", consent="unknown"): ("cancelled", "opted_out"),
        shop.due_text(phone=None): ("failed", "no_phone"),
        shop.due_text(phone="+12125550103", timezone="Pacific/Auckland"): ("pending", "quiet_hours"),
        shop.due_text(phone="+881612345678", timezone=None): ("pending", "no_time_zone"),
    }
    codes = {}
    for n, (attempts, code, kept) in enumerate(
        (
            (0, 30003, ("pending", "refused_for_now")),
            (2, 30003, ("failed", "attempts_used_up")),
            (0, 21211, ("failed", "refused")),
            (0, 21610, ("failed", "opted_out")),
        )
    ):
        row = shop.due_text(phone=f"+1212555020{n}", attempts=attempts)
        shop.stack.twilio.fail(JsonError(code, http_status=400), to=f"+1212555020{n}")
        rows[row], codes[row] = kept, code
    told = {row: result.why_code for row, result in shop.results().items()}
    assert {row: shop.end_of(row) for row in rows} == rows
    assert told == {row: code for row, (_, code) in rows.items()}
    assert {row: shop.row(row)["error_code"] for row in codes} == codes


def test_what_the_account_is_refused_for_is_kept_in_a_word(shop: Shop) -> None:
    """It concerns everybody who texts from there."""
    for code, kept in ((20429, "rate_limited"), (20003, "account_refused")):
        row = shop.due_text()
        shop.stack.twilio.fail(JsonError(code, http_status=429 if code == 20429 else 400))
        shop.run()
        assert (shop.end_of(row), shop.row(row)["error_code"]) == (("pending", kept), code)
        shop.sql("update sms_retry_queue set status = 'cancelled', held_since = null")
        shop.later(hours=1)


def test_what_people_and_the_application_end_says_who(shop: Shop, operators: SupabaseOperators) -> None:
    """A text, a scheduled send, the text of one; and a scheduled send that becomes no text."""
    cancelled, opted_out = shop.due_text(phone="+12125550101"), shop.due_text(phone="+12125550102")
    by_person, by_application, queued = (shop.scheduled(phone=f"+1212555020{n}") for n in (1, 2, 3))
    late, empty = shop.scheduled(due=-3 * DAY), shop.scheduled(body=None)
    ordered(operators, Cancel(retry_ids=[cancelled, by_person], dry_run=False, who="Ann", because="A mistake"))
    record_consent(operators, "+12125550102", consent="opted_out", source="telephone", business_id=shop.id)
    shop.sql("update scheduled_sends set status = 'cancelled' where id = %s", by_application)
    told = {send.scheduled_id: (send.result, send.why_code) for send in queue_scheduled_sends(shop.queue).sends}
    assert {one: told[one] for one in (late, empty)} == {late: ("cancelled", "expired"), empty: ("failed", "no_body")}
    shop.sql("update scheduled_sends set status = 'cancelled' where id = %s", queued)
    assert shop.end_of(cancelled) == ("cancelled", "operator")
    assert shop.end_of(opted_out) == ("cancelled", "opted_out")
    assert shop.text_of(queued)["why_code"] == "application"
    ends = {by_person: "operator", by_application: "application", late: "expired", empty: "no_body"}
    assert {one: shop.scheduled_send(one)["why_code"] for one in ends} == ends


def test_texts_are_chosen_by_why_they_ended_or_wait(shop: Shop, operators: SupabaseOperators, command: Command) -> None:
    """Whatever the sentence says; a text and a scheduled send alike."""
    expired, other = shop.due_text(), shop.due_text(phone="+12125550102", consent="unknown")
    waits, planned = shop.due_text(phone="+12125550101", timezone="Pacific/Auckland"), shop.scheduled(due=DAY)
    shop.sql("update sms_retry_queue set expires_at = scheduled_for where id = %s", expired)
    shop.run()
    shop.sql("update sms_retry_queue set last_error = 'In other words' where id = %s", expired)
    which = ("--state", "cancelled", "--why", "expired")
    done = command("texts", "requeue", *which, "--yes", "--because", "Twilio was down")
    assert "Requeued 1 of 1 that match." in done.stdout
    assert (shop.end_of(expired), shop.end_of(other)) == (("pending", "operator"), ("cancelled", "opted_out"))
    shop.sql("update scheduled_sends set why_code = 'row_refused' where id = %s", planned)
    for why_code, row in (("quiet_hours", waits), ("row_refused", planned)):
        assert [one.retry_id for one in ordered(operators, Cancel.model_validate({"why_code": why_code})).sample] == [
            row
        ]


def test_the_desk_tells_why_in_a_word(shop: Shop, operators: SupabaseOperators, command: Command) -> None:
    """Explain, status and preview; of what the begin would refuse, too."""
    desk = Desk(operators, profile=DEFAULT, meaning=code_meaning)
    failed, held = shop.due_text(phone=None), shop.due_text(phone="+881612345678", timezone=None)
    shop.run()
    shop.due_text(phone="+12125550103", timezone="Pacific/Auckland")
    shop.due_text(consent="unknown")
    told = [one.text.why_code for row in (failed, held) for one in desk.explain(WhichText(retry_id=row))]
    assert told == ["no_phone", "no_time_zone"]
    status = command("status").stdout
    assert "--why no_time_zone" in " ".join(status.split())
    assert "[no_phone]" in status
    [ahead] = desk.preview(Preview(hours=1)).businesses
    assert ahead.why_codes == {"quiet_hours": 1, "no_time_zone": 1, "opted_out": 1}


_TOKENS: Final = re.compile(r"'(?:[^']|'')*'|--[^\n]*")
_SENTENCE: Final = re.compile(r"'[A-Z][a-z]+\b.*'", re.DOTALL)


def _in_other_words(definition: str) -> str:
    """A function with every sentence of its own changed."""

    def changed(found: re.Match[str]) -> str:
        token = found[0]
        if token.startswith("--"):
            return ""
        return f"'Anders: {token[1:]}" if _SENTENCE.fullmatch(token) else token

    return _TOKENS.sub(changed, definition)


@contextmanager
def other_sentences(shop: Shop) -> Iterator[None]:
    """Every function of ours says what it says in other words. All that is done is undone at the end."""
    with shop.connection.transaction(force_rollback=True):
        for function in shop.sql(
            """select pg_get_functiondef(p.oid) as definition from pg_proc p join pg_language l on l.oid = p.prolang
               where p.pronamespace::regnamespace::text in ('smsretry', 'public') and l.lanname in ('sql', 'plpgsql')
                 and not exists (select 1 from pg_depend d where d.objid = p.oid and d.deptype = 'e')"""
        ):
            shop.sql(_in_other_words(function["definition"]))
        yield


def _begin(shop: Shop, row: UUID) -> UUID:
    claim_no = shop.value("select claim_sms_retry(%s) -> 'texts' -> 0 -> 'claim_no'", row)
    shop.sql(
        "select begin_sms_attempt(%s, %s, gen_random_uuid(), smsretry.clock() + interval '1 hour', 'test')",
        *[row, claim_no],
    )
    return row


def test_in_other_sentences_each_text_ends_alike(shop: Shop) -> None:
    """No function reads what another one has written for people."""
    order = "select change_sms_texts(%s, %s, dry_run => false, who => 'Ann', because => 'A test')"
    with other_sentences(shop):
        ends = {_begin(shop, shop.due_text(phone="+12125550199", consent="unknown")): ("cancelled", "opted_out")}
        ends[shop.due_text()] = ("cancelled", "opted_out")
        shop.sql("select record_sms_consent(%s, 'opted_out', 'telephone', %s)", PHONE, shop.id)
        expired, requeued, sent, cancelled, died = (shop.due_text(phone=f"+1212555010{n}") for n in range(5))
        for row in (expired, requeued):
            shop.sql("update sms_retry_queue set expires_at = scheduled_for where id = %s", row)
            ends[_begin(shop, row)] = ("cancelled", "expired")
        shop.sql(order, "requeue", Jsonb({"retry_ids": [str(requeued)], "states": ["cancelled"]}))
        shop.sql("update send_logs set status = 'sent' where id = %s", shop.row(sent)["send_log_id"])
        shop.sql(order, "cancel", Jsonb({"retry_ids": [str(cancelled)]}))
        _begin(shop, sent)
        shop.sql(
            "update sms_retry_queue set (begun_at, claimed_at) = (begun_at - %s, claimed_at - %s) where id = %s",
            *[DAY, DAY, _begin(shop, died)],
        )
        shop.sql("select recover_stuck_sms_retries(10)")
        ends |= {
            requeued: ("pending", "operator"), sent: ("cancelled", "already_sent"),
            cancelled: ("cancelled", "operator"), died: ("pending", "worker_died"),
        }  # fmt: skip
        assert {row: shop.end_of(row) for row in ends} == ends
        for row in ends:
            assert "Anders: " in (shop.row(row)["why"] or shop.row(row)["last_error"])

        late, empty = shop.scheduled(due=-3 * DAY), shop.scheduled(body=None)
        shop.sql("select queue_scheduled_sms(ahead => '2 minutes', life => '48 hours')")
        planned = {late: ("cancelled", "expired"), empty: ("failed", "no_body")}
        for scheduled, end in planned.items():
            kept = shop.scheduled_send(scheduled)
            assert (kept["status"], kept["why_code"]) == end
            assert kept["why"].startswith("Anders: ")
