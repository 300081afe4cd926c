"""A fortnight on the embedded stack: the real queue, the real adapters, and a clock that jumps to what is next."""

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.local.stack import Stack
from smsretry.retry.models import ItemResult
from smsretry.retry.profile import DEFAULT, Profile
from smsretry.sending.ports import Services
from smsretry.sending.run import ItemFailed, Run, run_once
from tests.proofs.fortnight.people import Customer, OptOut, Town
from tests.proofs.oracles.clocks import MINUTE
from tests.proofs.town.texts import Connection, open_business, write
from tests.support.orders import record_consent


@dataclass(frozen=True, slots=True)
class Wait:
    """A row that was deferred, as it stood in the database right afterwards."""

    retry_id: UUID
    at: datetime
    until: datetime
    why: str | None
    why_code: str | None


@dataclass(slots=True)
class Record:
    """What was seen while the fortnight went by."""

    waits: list[Wait] = field(default_factory=list)
    given_back: Counter[UUID] = field(default_factory=Counter)
    """How often a row was not tried because its run had stopped sending."""
    bugs: list[str] = field(default_factory=list)
    passes: int = 0
    seconds: float = 0.0


def live(stack: Stack, town: Town, *, profile: Profile = DEFAULT) -> Record:
    """Queue the texts, and run a worker at every full minute at which there is something to do."""
    started, record = time.monotonic(), Record()
    stack.set_clock(town.start)
    for phone, fault, times in town.troubles:
        stack.twilio.fail(fault, to=phone, times=times)
    opt_outs = sorted(town.opt_outs, key=lambda opt_out: opt_out.at)
    with (
        stack.connect() as connection,
        SupabaseQueue(stack.settings()) as queue,
        SupabaseOperators(stack.settings()) as operators,
        TwilioSender(stack.settings()) as sender,
        ThreadPoolExecutor(1) as customers,
    ):
        for business in town.businesses:
            hours = {"sms_hours": business.sms_hours}
            open_business(connection, business.id, business.zone, **hours)
        write(connection, town.texts)
        connection.execute("analyze")
        while (minute := _next_minute(stack, connection, opt_outs)) and minute <= town.end:
            stack.set_clock(minute)
            now = [opt_out for opt_out in opt_outs if opt_out.at <= minute]
            del opt_outs[: len(now)]
            said = customers.submit(_say_stop, stack, operators, town, now)
            items, _ = run_once(Run(Services(queue, sender, profile)), limit=500)
            said.result()
            _note(connection, items, record)
    record.seconds = time.monotonic() - started
    return record


def _next_minute(stack: Stack, connection: Connection, opt_outs: Sequence[OptOut]) -> datetime | None:
    """The next full minute at which a text is due or somebody says stop; None when all is over."""
    row = connection.execute(
        "select min(scheduled_for) as due from sms_retry_queue where status = 'pending'"
    ).fetchone()
    moments = [opt_outs[0].at] if opt_outs else []
    if row and row["due"]:
        moments.append(row["due"])
    if not moments:
        return None
    full = max(min(moments), stack.now()).replace(second=0, microsecond=0)
    return full + MINUTE


def _say_stop(stack: Stack, operators: SupabaseOperators, town: Town, opt_outs: Iterable[OptOut]) -> None:
    """Write the opt-outs, while the worker runs."""
    for opt_out in opt_outs:
        customer = opt_out.customer
        if opt_out.route == "table" or customer.phone is None:
            business_id: UUID | None = customer.business.id
            with stack.connect() as connection:
                connection.execute("update customers set sms_consent_status = 'opted_out' where id = %s", [customer.id])
        else:
            business_id = customer.business.id if opt_out.route == "function" else None
            record_consent(operators, customer.phone, consent="opted_out", source="telephone", business_id=business_id)
        note_stop(town, customer, business_id, stack.now())


def note_stop(town: Town, who: Customer, business_id: UUID | None, at: datetime) -> None:
    """On whichever row it is recorded, an opt-out is of the number, at one business or at all."""
    for text in town.texts:
        same = who.phone is not None and text.phone == who.phone and business_id in (None, text.business_id)
        if same or text.customer_id == who.id:
            text.stopped_at = min(at, text.stopped_at or at)


def _note(connection: Connection, items: Iterable[ItemResult | ItemFailed], record: Record) -> None:
    record.passes += 1
    deferred = set[UUID]()
    for item in items:
        if isinstance(item, ItemFailed):
            record.bugs.append(item.why)
            continue
        if item.fate == "GivenBack":
            record.given_back[item.retry_id] += 1
        deferred.discard(item.retry_id)  # a run takes a row again whose time has come meanwhile
        if item.fate == "Deferred":
            deferred.add(item.retry_id)
    if deferred:
        rows = connection.execute(
            "select id, updated_at, scheduled_for, why, why_code from sms_retry_queue where id = any(%s)", [[*deferred]]
        )
        record.waits += [
            Wait(row["id"], row["updated_at"], row["scheduled_for"], row["why"], row["why_code"]) for row in rows
        ]
