"""What the application, its own processor and a person at the desk do to a text."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

from smsretry.sending.scheduled import AHEAD
from tests.proofs.interleavings.customer import CONSENT
from tests.proofs.interleavings.state import (
    BODY,
    BUSINESS,
    CUSTOMER,
    LOG,
    OTHER_BODY,
    OTHER_LOG,
    OTHER_ROW,
    Deed,
    Processor,
    State,
    Step,
    instant,
    nth,
    write_text,
    writes,
)
from tests.proofs.interleavings.workers import claims_that_find
from tests.proofs.interleavings.world import Refused, World
from tests.support.records import Record

_NEXT_TRY = """
insert into sms_retry_queue (business_id, send_log_id, customer_id, attempt_count, scheduled_for, max_attempts)
values (%s, %s, %s, %s, smsretry.clock(), greatest(2, %s + 1))
"""
_CLAIM = "update sms_retry_queue set status = 'processing' where send_log_id = %s and status = 'pending'"
_CANCEL = """
update sms_retry_queue set status = 'cancelled' where send_log_id = %s and status in ('pending', 'processing')
"""
_SENT = """
update send_logs set status = 'sent', provider_message_id = jsonb_build_object('twilio_sid', %s::text) where id = %s
"""


def application(world: World, state: State) -> Iterator[Step]:
    """It queues the text anew, inserts the next try, claims by a plain update, cancels, edits, and deletes."""

    def queue_anew(world: World, state: State) -> State:
        with suppress(Refused):  # its customer is gone
            world.call(
                "queue_sms_retry", {"send_log_id": LOG, "reason": "twilio_error"}
            )
        return state

    rows = [
        row
        for row in world.rows(state.content, "sms_retry_queue")
        if row["send_log_id"] == str(LOG)
    ]
    statuses = {row["status"] for row in rows}
    yield Step("the application queues the text anew", queue_anew)
    yield writes(
        "the application inserts the next try",
        (_NEXT_TRY, (BUSINESS, LOG, CUSTOMER, 0, 1)),
    )
    yield writes(
        "the application edits it",
        ("update send_logs set subject = %s where id = %s", (OTHER_BODY, LOG)),
    )
    yield writes(
        "the application deletes its send log",
        ("delete from send_logs where id = %s", (LOG,)),
    )
    yield writes("the application claims it by a plain update", (_CLAIM, (LOG,)))
    if rows:
        is_known = statuses == {"completed"}  # its send log says so, too
        yield writes(
            "the application deletes it",
            ("delete from sms_retry_queue where send_log_id = %s", (LOG,)),
            decides=None if is_known else "deleted",
        )
    if statuses & {"pending", "processing"}:
        yield writes(
            "the application cancels it",
            (_CANCEL, (LOG,)),
            decides="cancelled",
        )


def planner(world: World, state: State) -> Iterator[Step]:
    """Planned texts are queued shortly before their time; the application moves them and cancels them."""

    def queue(world: World, state: State) -> State:
        world.queue.queue_scheduled(10, AHEAD)
        return state

    for send in world.rows(state.content, "scheduled_sends"):
        at = instant(send["scheduled_for"])
        if send["status"] == "scheduled" and at and at <= state.now + AHEAD:
            yield Step("planned texts are queued", queue)
        if send["status"] in ("scheduled", "queued"):
            moved = "update scheduled_sends set scheduled_for = scheduled_for + interval '1 hour' where id = %s"
            yield writes("the application moves the plan", (moved, (LOG,)))
            ended = "update scheduled_sends set status = 'cancelled' where id = %s"
            yield writes(
                "the application cancels the plan",
                (ended, (LOG,)),
                decides="cancelled",
            )


def processor(world: World, state: State) -> Iterator[Step]:
    """It claims, sends while its claim holds, and writes what came of it. It may stop for ever before each of these."""
    if state.processor is None:
        if "claim_due" in claims_that_find(world, state):
            yield Step("the application's processor claims", _claims)
        return
    has, name = (
        state.processor,
        f"the application's processor{nth(state.processor.log)}",
    )
    holds = any(
        row["id"] == str(has.row)
        and row["status"] == "processing"
        and row["claim_no"] == has.claim_no
        for row in world.rows(state.content, "sms_retry_queue")
    )
    if not has.came_to and holds:
        yield Step(f"{name} sends: accepted", _sends)
        yield Step(f"{name} sends: refused for now", partial(_goes_on, "refused"))
    elif has.came_to == "sent":
        complete = "update sms_retry_queue set status = 'completed' where id = %s"
        both = (_SENT, (has.sid, has.log)), (complete, (has.row,))
        yield writes(f"{name} writes that it was sent", *both, processor=None)
    elif has.came_to == "refused":
        count = has.attempt_count + 1
        again = (_NEXT_TRY, (BUSINESS, has.log, CUSTOMER, count, count))
        yield writes(f"{name} inserts the next try", again, processor=None)
    yield Step(f"{name} dies", lambda _, state: replace(state, processor=None))


def _claims(world: World, state: State) -> State:
    claimed = world.call("claim_due_sms_retries", {"limit_count": 1})
    for row in claimed if isinstance(claimed, list) else [claimed] if claimed else []:
        if (
            row["sms_consent_status"] == "opted_in"
            and row["phone"]
            and row["send_log_found"]
        ):
            if forbidden := state.said.forbids(row["message_class"]):
                handed = f"handed out as opted in, {forbidden}"
                state = replace(state, broken=(("sent wrongly", handed),))
            retry_id, log = UUID(row["id"]), UUID(row["send_log_id"])
            claimer = Processor(
                retry_id,
                log,
                row["claim_no"],
                row["attempt_count"],
                row["phone"],
                row["body"],
            )
            return replace(state, processor=claimer)
        world.write(
            "update sms_retry_queue set status = 'cancelled' where id = %s", row["id"]
        )
    return state


def _sends(_: World, state: State) -> State:
    has = state.processor
    assert has
    twilio = state.twilio.takes(has.log, None, has.to, has.body, state.now)
    further = replace(has, came_to="sent", sid=twilio.messages[-1].sid)
    return replace(state, twilio=twilio, processor=further)


def _goes_on(came_to: Any, _: World, state: State) -> State:
    assert state.processor
    return replace(state, processor=replace(state.processor, came_to=came_to))


def operator(world: World, state: State) -> Iterator[Step]:
    """A person requeues, cancels, and says what became of a text in doubt."""
    signature = {"who": "Pat", "because": "Tried"}
    for row in world.rows(state.content, "sms_retry_queue"):
        ids = {"retry_ids": [row["id"]]}
        log, label = row["send_log_id"], f"it{nth(row['send_log_id'])}"
        if row["status"] in ("failed", "cancelled"):
            selection = {
                "which": ids | {"states": ["failed", "cancelled"]},
                "dry_run": False,
                **signature,
            }
            yield Step(
                f"a person requeues {label}",
                _orders("change_sms_texts", {"what": "requeue", **selection}),
            )
        if row["status"] == "pending":
            values = {"what": "cancel", "which": ids, "dry_run": False, **signature}
            yield Step(
                f"a person cancels {label}",
                _orders("change_sms_texts", values, log, "cancelled"),
            )
        if row["in_doubt_since"]:
            resolve = {"retry_id": row["id"], **signature}
            yield Step(
                f"a person says that {label} did not go out",
                _orders("resolve_sms_doubt", resolve, log, "not sent"),
            )
            sid = next(
                (m.sid for m in state.twilio.messages if str(m.log) == log),
                "SM" + "f" * 32,
            )
            yield Step(
                f"a person says that {label} went out",
                _orders(
                    "resolve_sms_doubt", resolve | {"twilio_sid": sid}, log, "sent"
                ),
            )


def _orders(
    function: str, values: Record, log: str = "", deed: Deed | None = None
) -> Callable[[World, State], State]:
    def take(world: World, state: State) -> State:
        world.call(function, values)
        is_changed = deed and world.read_content() != state.content
        return state.decides(log, deed) if deed and is_changed else state

    return take


def beginnings(_: World, __: State) -> Iterator[Step]:
    """How else a text may begin. Nobody takes these steps in the exploration: they lead to its stages."""
    yield writes(
        "it is transactional",
        ("update sms_retry_queue set message_class = 'transactional'", ()),
    )
    yield Step(
        "another text has the same words",
        lambda world, state: _another(world, state, BODY),
    )
    yield Step(
        "another text begins alike",
        lambda world, state: _another(world, state, f"{BODY} We are open."),
    )
    yield Step("its customer opts out while no trigger is at work", _unrecorded_stop)
    yield Step("it is planned", _planned)
    yield writes(
        "it is of use for an hour",
        (
            "update sms_retry_queue set expires_at = smsretry.clock() + interval '1 hour'",
            (),
        ),
    )
    yield writes(
        "it may be sent three times",
        ("update sms_retry_queue set max_attempts = 3", ()),
    )


def _another(world: World, state: State, body: str) -> State:
    write_text(world, OTHER_LOG, OTHER_ROW, body, state.now)
    return state


def _unrecorded_stop(world: World, state: State) -> State:
    """As before smsretry was installed: the customer's row alone says so."""
    with world.connection.transaction():
        world.write("set local session_replication_role = replica")
        world.write(CONSENT, "opted_out", CUSTOMER)
    return replace(state, said=state.said.stops())


def _planned(world: World, state: State) -> State:
    world.write("delete from sms_retry_queue")
    world.write("delete from send_logs")
    at = state.now + timedelta(minutes=1)
    plan = {
        "business_id": BUSINESS,
        "customer_id": CUSTOMER,
        "body": BODY,
        "scheduled_for": at.isoformat(),
        "id": LOG,
    }
    world.call("schedule_sms", plan)
    return state
