"""What the customer and a person at the desk do to a text."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from tests.proofs.interleavings.provider import SENDER
from tests.proofs.interleavings.state import State
from tests.proofs.interleavings.steps import Step, nth
from tests.proofs.interleavings.world import World


def inbound(world: World, state: State) -> Iterator[Step]:
    """The customer texts STOP, and START, which the webhook hears."""
    phones = [customer["phone"] for customer in world.rows(state.content, "customers")]
    for n, word in enumerate(("STOP", "START") if phones else ()):

        def take(world: World, state: State, word: str = word, n: int = n) -> State:
            sid = f"SM{n:032x}"
            text = {"phone": phones[0], "twilio_sid": sid, "to_number": SENDER.sent_by}
            world.call("record_inbound_sms", text | {"opt_out_type": word, "body": word})
            said = "stop" if word == "STOP" else "unclear" if state.said == "stop" else state.said
            return replace(state, said=said)

        yield Step(f"the customer texts {word}", take)


def operator(world: World, state: State) -> Iterator[Step]:
    """A person requeues, cancels, and says what became of a text in doubt."""
    who = {"who": "Pat", "because": "Tried"}
    for row in world.rows(state.content, "sms_retry_queue"):
        ids = {"retry_ids": [row["id"]]}
        it = f"it{nth(row['send_log_id'])}"
        if row["status"] in ("failed", "cancelled"):
            which = {"which": ids | {"states": ["failed", "cancelled"]}, "dry_run": False, **who}
            yield Step(f"a person requeues {it}", _orders("change_sms_texts", {"what": "requeue", **which}))
        if row["status"] == "pending":
            values = {"what": "cancel", "which": ids, "dry_run": False, **who}
            yield Step(f"a person cancels {it}", _orders("change_sms_texts", values, "cancelled"))
        if row["in_doubt_since"]:
            resolve = {"retry_id": row["id"], **who}
            yield Step(f"a person says that {it} did not go out", _orders("resolve_sms_doubt", resolve, "not sent"))
            sid = next((m.sid for m in state.twilio.messages if str(m.log) == row["send_log_id"]), "SM" + "f" * 32)
            yield Step(
                f"a person says that {it} went out", _orders("resolve_sms_doubt", resolve | {"twilio_sid": sid}, "sent")
            )


def _orders(function: str, values: dict[str, Any], *decided: str) -> Callable[[World, State], State]:
    def take(world: World, state: State) -> State:
        world.call(function, values)
        return replace(state, decided=state.decided | set(decided))

    return take
