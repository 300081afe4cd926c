"""What people and the application do to a text."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import psycopg

from tests.proofs.interleavings.provider import SENDER
from tests.proofs.interleavings.state import State
from tests.proofs.interleavings.steps import BUSINESS, CUSTOMER, LOG, OTHER_BODY, PHONE, Step
from tests.proofs.interleavings.world import World


def _writes(name: str, statement: str, *values: object, **changes: Any) -> Step:
    def take(world: World, state: State) -> State:
        try:
            world.write(statement, *values)
        except psycopg.IntegrityError:  # the answer to a second live row, and to an end of a send that is under way
            return state
        return replace(state, **changes)

    return Step(name, take)


def application(world: World, state: State) -> Iterator[Step]:
    """It queues the text anew, inserts the next try, cancels, edits and deletes, and writes down consent."""

    def queue_anew(world: World, state: State) -> State:
        world.call("queue_sms_retry", {"send_log_id": LOG, "reason": "twilio_error"})
        return state

    yield Step("the application queues the text anew", queue_anew)
    yield _writes(
        "the application inserts the next try",
        """insert into sms_retry_queue (business_id, send_log_id, customer_id, scheduled_for)
           values (%s, %s, %s, smsretry.clock())""",
        *(BUSINESS, LOG, CUSTOMER),
    )
    yield _writes(
        "the application cancels it",
        """update sms_retry_queue set status = 'cancelled'
           where send_log_id = %s and status in ('pending', 'processing')""",
        LOG,
        decided=state.decided | {"cancelled"},
    )
    yield _writes("the application edits it", "update send_logs set subject = %s where id = %s", OTHER_BODY, LOG)
    yield _writes(
        "the application writes an opt-out",
        """update customers set sms_consent_status = 'opted_out', sms_consent_at = smsretry.clock() where id = %s""",
        CUSTOMER,
        said="stop",
    )
    yield _writes(
        "the application writes an opt-in",
        """update customers set sms_consent_status = 'opted_in', sms_consent_at = smsretry.clock() where id = %s""",
        CUSTOMER,
        said="unclear" if state.said == "stop" else state.said,
    )


def inbound(world: World, state: State) -> Iterator[Step]:
    """The customer texts STOP, and START."""
    for n, word in enumerate(("STOP", "START")):

        def take(world: World, state: State, word: str = word, n: int = n) -> State:
            sid = f"SM{n:032x}"
            world.call(
                "record_inbound_sms",
                {"phone": PHONE, "twilio_sid": sid, "opt_out_type": word, "body": word, "to_number": SENDER.sent_by},
            )
            said = "stop" if word == "STOP" else "unclear" if state.said == "stop" else state.said
            return replace(state, said=said)

        yield Step(f"the customer texts {word}", take)


def operator(world: World, state: State) -> Iterator[Step]:
    """A person requeues, cancels, and says what became of a text in doubt."""
    who = {"who": "Pat", "because": "Tried"}
    for row in world.rows("select id, status, in_doubt_since from sms_retry_queue"):
        ids = {"retry_ids": [row["id"]]}
        if row["status"] in ("failed", "cancelled"):
            yield Step(
                "a person requeues it",
                _orders("requeue_failed_sms", ids | who | {"dry_run": False, "states": ["failed", "cancelled"]}),
            )
        if row["status"] == "pending":
            yield Step(
                "a person cancels it", _orders("cancel_sms_retries", ids | who | {"dry_run": False}, "cancelled")
            )
        if row["in_doubt_since"]:
            resolve = {"retry_id": row["id"], **who}
            yield Step("a person says that it did not go out", _orders("resolve_sms_doubt", resolve, "not sent"))
            sid = next((m.sid for m in state.twilio.messages), "SM" + "f" * 32)
            yield Step(
                "a person says that it went out", _orders("resolve_sms_doubt", resolve | {"twilio_sid": sid}, "sent")
            )


def _orders(function: str, values: dict[str, Any], *decided: str) -> Callable[[World, State], State]:
    def take(world: World, state: State) -> State:
        world.call(function, values)
        return replace(state, decided=state.decided | set(decided))

    return take
