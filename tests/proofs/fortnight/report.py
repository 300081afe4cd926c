"""A whole fortnight, and its table; and what can be spoilt, to see that the judge notices."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final
from uuid import UUID

from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.adapters.twilio.provider import TwilioProvider
from smsretry.local.stack import Stack
from smsretry.retry import before
from smsretry.retry.models import ItemResult
from smsretry.retry.models import Text as Message
from smsretry.retry.outcome import Outcome
from smsretry.retry.profile import DEFAULT, Profile
from tests.proofs.fortnight.checks import (
    STOPPED,
    Wait,
    deadlines,
    ended_wrongly,
    is_capped,
    over_cap,
    reached,
    valid_too_long,
    waited_wrongly,
    waits_rightly,
)
from tests.proofs.fortnight.people import Customer, OptOut, Owed, Town, invent
from tests.proofs.town.book import Book, Story, read_book
from tests.proofs.town.judge import at_the_end, judged
from tests.proofs.town.report import Finding, Kind, ProofReport, Verdict
from tests.proofs.town.safeguards import Safeguard, Switch, trigger
from tests.proofs.town.street import Life, Street
from tests.proofs.town.texts import Text, open_business, write
from tests.support.orders import record_consent

UNREAD = "I revoke my consent to these"
STUCK: Final[dict[Kind, str]] = {
    "stuck": "The fortnight ends while texts wait; waits_rightly judges for what"
}
AUTUMN = datetime(2026, 10, 29, 12, tzinfo=UTC)
"""A Thursday. Clocks change in America on Sunday 1 November; closed are Election Day (Pennsylvania) on the 3rd, and
Veterans Day and Armistice Day on the 11th."""


class _Folk:
    """Everybody in town, and what was seen of them while the fortnight went by. A neighbor of the street."""

    def __init__(self, town: Town) -> None:
        self.waits = defaultdict[UUID, list[Wait]](list)
        """By text."""
        self.given_back = Counter[UUID]()
        """How often a text was not tried because its run had stopped sending."""
        self._saying = Future[None]()
        self._town, self._opt_outs = (
            town,
            sorted(town.opt_outs, key=lambda opt_out: opt_out.at),
        )

    def __call__(self, street: Street) -> Life:
        """Move in; then say stop while the worker is at work."""
        street.texts.extend(self._town.texts)
        street.next_at, street.notes = (
            partial(self._next_at, street),
            partial(self._note, street),
        )
        for phone, fault, times in self._town.troubles:
            street.stack.twilio.fail(fault, to=phone, times=times)
        for business in self._town.businesses:
            open_business(
                street.connection,
                business.id,
                business.zone,
                sms_hours=business.sms_hours,
            )
        write(street.connection, self._town.texts)
        street.connection.execute("analyze")
        with (
            SupabaseOperators(street.stack.settings()) as operators,
            ThreadPoolExecutor(1) as customers,
        ):
            yield
            while True:
                now = [
                    opt_out for opt_out in self._opt_outs if opt_out.at <= street.now
                ]
                del self._opt_outs[: len(now)]
                self._saying = customers.submit(
                    self._say_stop, street.stack, operators, now
                )
                yield

    def _next_at(self, street: Street) -> datetime | None:
        """When a text is due next, or somebody says stop."""
        due = street.connection.execute(
            "select min(scheduled_for) as due from sms_retry_queue where status = 'pending'"
        ).fetchone()
        assert due
        return min(
            [
                at
                for at in (due["due"], *(opt_out.at for opt_out in self._opt_outs[:1]))
                if at
            ],
            default=None,
        )

    def _note(self, street: Street, results: Sequence[ItemResult]) -> None:
        self._saying.result()  # before the clock goes on
        self.given_back.update(
            result.retry_id for result in results if result.fate == "GivenBack"
        )
        latest = {
            result.retry_id: result.fate for result in results
        }  # a run takes a row again whose time has come
        rows = street.connection.execute(
            "select id, updated_at, scheduled_for, why, why_code from sms_retry_queue where id = any(%s)",
            [[retry_id for retry_id, fate in latest.items() if fate == "Deferred"]],
        )
        for row in rows:
            self.waits[row["id"]].append(
                Wait(
                    row["updated_at"], row["scheduled_for"], row["why"], row["why_code"]
                )
            )

    def _say_stop(
        self, stack: Stack, operators: SupabaseOperators, opt_outs: Sequence[OptOut]
    ) -> None:
        for opt_out in opt_outs:
            customer, at_one = opt_out.customer, opt_out.customer.business.id
            if opt_out.route == "table" or customer.phone is None:
                with stack.connect() as connection:
                    connection.execute(
                        "update customers set sms_consent_status = 'opted_out' where id = %s",
                        [customer.id],
                    )
            elif opt_out.route == "words":
                with stack.connect() as connection:
                    connection.execute(
                        "select from record_inbound_sms(%s, %s, body => %s)",
                        [customer.phone, f"SM{customer.id.hex}", UNREAD],
                    )
            else:
                where = {"business_id": at_one if opt_out.route == "function" else None}
                record_consent(
                    operators,
                    customer.phone,
                    consent="opted_out",
                    source="telephone",
                    **where,
                )
            everywhere = (
                opt_out.route in ("function, everywhere", "words")
                and customer.phone is not None
            )
            _note_stop(
                self._town,
                customer,
                None if everywhere else at_one,
                stack.now(),
                unread=opt_out.route == "words" and customer.phone is not None,
            )


def _note_stop(
    town: Town,
    customer: Customer,
    business_id: UUID | None,
    at: datetime,
    *,
    unread: bool = False,
) -> None:
    """On whichever row it is recorded, an opt-out is of the number, at one business or at all."""
    for text in town.texts:
        same = (
            customer.phone is not None
            and text.phone == customer.phone
            and business_id in (None, text.business_id)
        )
        stops = same or text.customer_id == customer.id
        if stops and not (unread and text.transactional):
            text.stopped_at = min(at, text.stopped_at or at)


def fortnight(stack: Stack, town: Town, *, profile: Profile = DEFAULT) -> ProofReport:
    """On an empty stack: let the time go by, then judge."""
    folk = _Folk(town)
    minutes = town.days * 24 * 60 + 1
    street = Street(
        stack,
        [folk],
        minutes=minutes,
        seed="fortnight",
        start=town.start,
        limit=500,
        profile=profile,
    )
    street.live()
    _note_stops_at_twilio(town, read_book(stack, town.texts))
    book = read_book(stack, town.texts)
    times, on_time = reached(book.stories, town), Counter[bool]()

    def ask(text: Text, story: Story) -> Iterator[Finding]:
        assert isinstance(text, Owed)
        for findings in (
            at_the_end(story), valid_too_long(text, story, town), waits_rightly(text, story, town),
            waited_wrongly(text, folk.waits[text.retry_id], town), ended_wrongly(text, story, town),
        ):  # fmt: skip
            yield from findings
        bound = times[text.reached_at] if is_capped(text) else ()
        for since, by, was in deadlines(
            text, story, town, folk.given_back[text.retry_id], bound
        ):
            on_time[was] += 1
            if not was:
                yield "late", f"from {since}, to be tried by {by}"

    findings = judged(book, town.texts, Verdict(STUCK), ask)
    findings.add(("bugs", line) for line in street.bugs)
    findings.add(over_cap(book.stories, town))
    deferred = (wait.why_code for waits in folk.waits.values() for wait in waits)
    numbers: dict[str, object] = {
        **book.numbers,
        "people": len(town.customers),
        "  in so many sets of zones and rules": len({c.person for c in town.customers}),
        **Counter(f"deferred: {why_code}" for why_code in deferred),
        "people who opted out": len(
            {t.customer_id for t in town.texts if t.stopped_at}
        ),
        "asked whether it was on time": on_time.total(),
        **street.counts,
    }
    return ProofReport(numbers, findings)


def _note_stops_at_twilio(town: Town, book: Book) -> None:
    """Twilio's answer to a send may tell the queue that somebody wants no more texts."""
    for text in town.texts:
        for attempt in book.of(text).attempts:
            if attempt["error_code"] == STOPPED:
                _note_stop(
                    town, text.customer, text.business_id, attempt["finished_at"]
                )


_send = TwilioProvider.send


def _to_a_stranger(self: TwilioProvider, text: Message) -> Outcome:
    """A third of the texts go to another number."""
    change = {"to": "+12125559999"} if text.attempt_id.int % 3 == 0 else {}
    return _send(self, text.model_copy(update=change))


def _switch(sees: str, without: Safeguard, profile: Profile = DEFAULT) -> Switch:
    """Two days in a small town, in which its absence must be seen; or with another profile of the worker."""

    def short(stack: Stack) -> ProofReport:
        town = invent(40, days=2, start=AUTUMN, seed="24")
        return fortnight(stack, town, profile=profile)

    return Switch(without=without, sees=sees, run=short)


SWITCHES = {
    "the states' hours": _switch(
        "out of hours", Safeguard(), Profile(quiet_hours_rules="federal")
    ),
    "the daily cap": _switch(
        "over the daily cap",
        Safeguard(
            replaces="smsretry.cap_reached_at",
            sql="""create or replace function
                       smsretry.cap_reached_at(business_id uuid, phone text, cap integer, since timestamptz)
                   returns timestamptz language sql as 'select null::timestamptz'""",
        ),
    ),
    "a turn soon after the opening": _switch(
        "late", Safeguard(), Profile(opening_spread=timedelta(hours=3))
    ),
    "the guard at closing": _switch(
        "valid past its closing",
        Safeguard(patches=((before, "CLOSING_GUARD", timedelta(minutes=-30)),)),
    ),
    "the customer's number": _switch(
        "astray", Safeguard(patches=((TwilioProvider, "send", _to_a_stranger),))
    ),
    "opt-outs": _switch(
        "after an opt-out",
        Safeguard(
            sql=trigger(
                "new.sms_consent_status := old.sms_consent_status;", "customers"
            )
        ),
    ),
    "the wait for whoever reads": _switch(
        "after an opt-out",
        Safeguard(
            replaces="smsretry.refusals",
            edits=((r"t\.message_class is distinct from 'transactional'", "false"),),
        ),
    ),
    "reasons": _switch(
        "unexplained",
        Safeguard(
            sql=trigger(
                "new.why := 'no reason'; if new.status = 'failed' then new.last_error := null; end if;"
            )
        ),
    ),
    "ends": _switch(  # sent texts are queued again, or called failed
        "doubled",
        Safeguard(
            replaces="smsretry.is_sent",
            sql=trigger(
                """if new.status = 'completed' then
                       new.status := case when new.id::text < '8' then 'pending' else 'failed' end;
                       new.scheduled_for := smsretry.clock() + interval '1 hour';
                       new.last_error := coalesce(new.last_error, 'spoilt');
                   end if;"""
            )
            + """create or replace function smsretry.is_sent(provider_message_id jsonb, status text)
                 returns boolean language sql immutable as 'select false';""",
        ),
    ),
}
