"""Group commit on a real database: each row of a group answers for itself alone."""

import json
import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Final
from uuid import uuid4

import pytest

from smsretry.adapters.supabase.groups import Call, RepeatAlone
from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.errors import InputError, QueueBusy
from smsretry.local.stack import Stack
from smsretry.retry.models import Claim
from tests.conftest import Business
from tests.integration.groups import in_groups
from tests.support.builders import PHONE, SENDER, fates_of, run_over
from tests.support.claims import claim_due


def _begin(claim: Claim, **changes: object) -> Call:
    values: dict[str, object] = {
        "retry_id": claim.id, "claim_no": claim.claim_no, "attempt_id": uuid4(),
        "send_before": claim.claimed_at + timedelta(hours=1), "quiet_hours_rule": "test", "phone": claim.phone,
        "body": claim.body, "sent_by": SENDER, "decided_by": claim.decided_by, "life": "48 hours",
    }  # fmt: skip
    return Call("begin_sms_attempt", values | changes, f"{claim.phone} {claim.id}", leave_if_busy=True)


def _answers(told: Sequence[object]) -> list[object]:
    return [entry["answer"] if isinstance(entry, dict) else type(entry) for entry in told]


def test_each_call_of_a_group_has_the_answer_it_has_alone(queue: SupabaseQueue, business: Business) -> None:
    """Whatever the others answer, and in the order they were given."""
    for _ in range(4):
        business.due_text()
    claims = claim_due(queue, 10)
    business.connection.execute(
        "update customers set sms_consent_status = 'opted_out' where id = %s", [claims[1].customer_id]
    )
    told = queue.together(
        [
            _begin(claims[0]),
            _begin(claims[1]),
            _begin(claims[2], claim_no=99),
            _begin(claims[3], send_before=claims[3].claimed_at - timedelta(seconds=1)),
        ]
    )
    assert _answers(told) == ["ended", "ended", "lost", "ended"]  # one number, and it opted out


def test_a_call_that_fails_is_undone_alone(queue: SupabaseQueue, business: Business) -> None:
    """A row that the database refuses to write costs the others of its transaction nothing."""
    good, bad = business.due_text(), business.due_text(phone="+12125550124")
    claims = {claim.id: claim for claim in claim_due(queue, 10)}
    told = queue.together([_begin(claims[bad], quiet_hours_rule=None, claim_no=None), _begin(claims[good])])
    assert isinstance(told[0], InputError)
    assert _answers(told[1:]) == ["go"]
    assert business.row(good)["begun_at"] is not None
    assert business.row(bad)["begun_at"] is None


_TOLD: Final = """
create or replace function smsretry.answer_sms_call(function text, v jsonb) returns jsonb language plpgsql as $$
begin
    if v ? 'fails' then raise exception 'No' using errcode = v ->> 'fails'; end if;
    return to_jsonb(current_setting('smsretry.wait'));
end $$
"""
"""Each call fails as it says, or tells how long it may wait for a lock."""


@pytest.mark.parametrize(
    ("fails", "then"),
    [("55P03", "10ms"), ("57014", None), ("SR422", "500ms")],
    ids=["a lock", "no time", "a bad call"],
)
def test_what_a_call_fails_of_says_how_the_group_goes_on(business: Business, fails: str, then: str | None) -> None:
    """One lock is waited for. After one that was cancelled there is no time. In order of what they lock."""
    calls = [
        {"function": "it", "lock_order": "c", "values": {}},
        {"function": "it", "lock_order": "a", "values": {}},
        {"function": "it", "lock_order": "b", "values": {"fails": fails}},
    ]
    with business.connection.transaction(force_rollback=True):
        business.connection.execute(_TOLD)
        answer = business.connection.execute("select group_sms_calls(%s) as told", [json.dumps(calls)]).fetchone()
    assert answer
    told = [(one["place"], one.get("answer"), one.get("code")) for one in answer["told"]]
    assert told == [(2, "500ms", None), (3, None, fails), *([(1, then, None)] if then else [])]


def test_a_group_may_be_repeated(queue: SupabaseQueue, stack: Stack, business: Business) -> None:
    """Its answer was lost after it was committed: the second time it answers the same; each send has one attempt."""
    for number in range(3):
        business.due_text(phone=f"+1212555012{number}")
    calls = [_begin(claim) for claim in claim_due(queue, 10)]
    stack.rpc_faults.drop_after_commit("group_sms_calls")
    assert _answers(queue.together(calls)) == ["go", "go", "go"]
    assert len(business.connection.execute("select 1 from sms_send_attempts").fetchall()) == 3


def test_rows_that_somebody_holds_locked_hold_up_the_others_for_half_a_second(
    queue: SupabaseQueue, stack: Stack, business: Business
) -> None:
    """Not for two seconds each: they are left for the next run. A group ends after a second."""
    for number in range(8):
        business.due_text(phone=f"+1212555012{number}")
    claims = claim_due(queue, 10)
    with stack.connect() as other, other.transaction():
        locked = [claim.customer_id for claim in claims[:6]]
        other.execute("select 1 from customers where id = any (%s) for update", [locked])
        told, groups = in_groups(queue, [_begin(claim) for claim in claims])
    assert _answers(told) == [QueueBusy] * 6 + ["go"] * 2
    assert groups < 6, "it is one on a machine that is not very busy"


def test_without_the_group_function_each_call_is_made_alone(
    queue: SupabaseQueue, sender: TwilioSender, business: Business
) -> None:
    """A grant that is missing there costs no text."""
    for number in range(20):
        business.due_text(phone=f"+121255501{number:02}")
    business.connection.execute("revoke execute on function group_sms_calls from service_role")
    try:
        calls = [_begin(claim) for claim in claim_due(queue, 2)]
        assert [type(entry) for entry in queue.together(calls)] == [RepeatAlone] * 2
        assert set(fates_of(run_over(queue, sender))) == {"Sent"}
    finally:
        business.connection.execute("grant execute on function group_sms_calls to service_role")


@pytest.mark.parametrize("function", ["record_sms_consent", "prune_sms_history", ""])
def test_a_group_holds_a_worker_s_calls_and_no_others(queue: SupabaseQueue, business: Business, function: str) -> None:
    """What it does not know is refused, for that call alone."""
    business.due_text(phone=PHONE)
    (claim,) = claim_due(queue, 1)
    told = queue.together([Call(function, {}, ""), _begin(claim)])
    assert isinstance(told[0], InputError)
    assert _answers(told[1:]) == ["go"]


def test_a_group_hands_on_each_parameter_that_its_functions_have(business: Business) -> None:
    """One that is left out would be null in a group, and only there."""
    (source,) = business.connection.execute(
        "select prosrc as code from pg_proc where oid = 'smsretry.answer_sms_call'::regproc"
    ).fetchall()
    answered = re.findall(r"public\.(\w+)\((.*?)\)(?: [bf])?\)", source["code"].replace("\n", " "))
    given = {function: set(re.findall(r"(\w+) =>", arguments)) for function, arguments in answered}
    taken = business.connection.execute(
        """select proname as name, proargnames[1:pronargs] as parameters from pg_proc
           where pronamespace = 'public'::regnamespace and proname = any(%s)""",
        [list(given)],
    ).fetchall()
    assert len(taken) == 5
    assert given == {function["name"]: set(function["parameters"]) for function in taken}
