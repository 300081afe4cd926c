"""Kinds of trouble that a text may be in when a customer calls, and how each is brought about and fixed."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final
from uuid import UUID, uuid4

from smsretry.local.stack import SENDER
from smsretry.local.twilio.faults import JsonError
from tests.e2e.at_the_desk.town import Town
from tests.e2e.conftest import FlowProcess
from tests.support.builders import BODY, NOON
from tests.support.senders import open_account

SEND_AGAIN: Final = "send it again, with every check"
LOOK_AGAIN: Final = "have it looked at again now"


def _nothing(town: Town, customer: UUID) -> None:
    """There is nothing to fix before."""


@dataclass(frozen=True)
class Kind:
    """A text in trouble."""

    name: str
    make: Callable[[Town, str], UUID]
    """For the customer's number; returns the customer."""
    reason: str
    """The words of the run's first page that say what the trouble is."""
    levers: tuple[str, ...]
    """What the page offers first; each is pulled, and the next one is the first then."""
    phone: str = ""
    says_first: str = ""
    """What the page says is to be done before."""
    fix: Callable[[Town, UUID], None] = _nothing
    """Does that, as the application would."""
    after_run: Callable[[Town, UUID], None] = _nothing
    """What happens once a run has had it."""
    ends: str = "sent"
    """Its state in the end."""

    def __str__(self) -> str:
        return self.name


def _refused(code: int, *, attempts: int = 0) -> Callable[[Town, str], UUID]:
    def make(town: Town, phone: str) -> UUID:
        town.stack.twilio.fail(JsonError(code, http_status=400), to=phone)
        return town.text_to(phone, attempts=attempts)

    return make


def _due(town: Town, phone: str) -> UUID:
    return town.text_to(phone)


def _opted_out(town: Town, phone: str) -> UUID:
    customer = town.text_to(phone)
    town.run("select record_sms_consent(%s, 'opted_out', 'telephone', %s)", phone, town.business.id)
    return customer


def _maybe_stopped(town: Town, phone: str) -> UUID:
    customer = town.text_to(phone)
    words = "please stop texting me so often"
    town.run("select record_inbound_sms(%s, %s, null, %s)", phone, f"SM{uuid4().hex}", words)
    return customer


def _expired(town: Town, phone: str) -> UUID:
    town.stack.set_clock(NOON - timedelta(days=3))
    customer = town.text_to(phone)
    town.stack.set_clock(NOON)
    return customer


def _of_paused_sender(town: Town, phone: str) -> UUID:
    town = town.with_business()
    account = open_account(town.stack, number="+12125550199")
    sender, signed = "+12125550199", ("Ann", "Its number is checked")
    town.run(
        "select add_sms_sender(%s, %s, %s, who => %s, because => %s)", town.business.id, account.sid, sender, *signed
    )
    town.run("select pause_sms_sender(%s, who => %s, because => %s)", sender, *signed)
    return town.text_to(phone)


def _to_stopped_state(town: Town, phone: str) -> UUID:
    town.run("select set_sms_state_stop('FL', 'A storm')")
    return town.text_to(phone)


def _in_doubt(town: Town, phone: str) -> UUID:
    """Sent 20 minutes ago by a worker that got no answer; two looks have found nothing."""
    customer, attempt = town.text_to(phone), uuid4()
    town.run(
        """insert into sms_send_attempts
               (id, retry_id, attempt_number, claim_no, begun_at, finished_at, outcome, sent_to, sent_body, sent_by)
           select %s, id, 1, 1, smsretry.clock() - interval '20 minutes', smsretry.clock(), 'in_doubt', %s, %s, %s
           from sms_retry_queue where customer_id = %s""",
        attempt, phone, BODY, SENDER, customer,
    )  # fmt: skip
    town.run(
        """update sms_retry_queue
           set in_doubt_since = smsretry.clock() - interval '20 minutes', attempt_id = %s, claim_no = 1,
               reconcile_count = 2, why = 'No answer came', why_code = 'in_doubt' where customer_id = %s""",
        attempt, customer,
    )  # fmt: skip
    return customer


def _planned(town: Town, phone: str) -> UUID:
    scheduled = town.business.scheduled(phone=phone, due=timedelta(hours=21))
    return UUID(str(town.business.scheduled_send(scheduled)["customer_id"]))


def _not_delivered(town: Town, customer: UUID) -> None:
    [attempt] = town.run(
        "select a.twilio_sid from sms_send_attempts a join sms_retry_queue q on q.id = a.retry_id "
        "where q.customer_id = %s",
        customer,
    )
    town.stack.twilio.report(attempt["twilio_sid"], "undelivered", 30006)


def _changed(column: str, value: str) -> Callable[[Town, UUID], None]:
    def fix(town: Town, customer: UUID) -> None:
        town.run(f"update customers set {column} = %s where id = %s", value, customer)

    return fix


REFUSED: Final = Kind(
    "refused by the provider, with a code", _refused(21612), "Twilio 21612", (SEND_AGAIN,),
    says_first="check the number", fix=_changed("phone", "+12125550181"),
)  # fmt: skip
BAD_NUMBER: Final = Kind(
    "its number is malformed", lambda town, phone: town.text_to(phone[2:]), "Phone number is not E.164", (SEND_AGAIN,),
    says_first="correct the number in the application", fix=_changed("phone", "+12125550182"),
)  # fmt: skip
NO_NUMBER: Final = Kind(
    "no number", lambda town, _: town.text_to(None), "no phone number", (SEND_AGAIN,),
    says_first="give the customer a number", fix=_changed("phone", "+12125550183"),
)  # fmt: skip
PLANNED: Final = Kind(
    "planned for tomorrow", _planned, "Scheduled, it is queued shortly before its time",
    ("end it, if it is no longer wanted",), ends="cancelled",
)  # fmt: skip
KINDS: Final = (
    REFUSED,
    BAD_NUMBER,
    NO_NUMBER,
    Kind("opted out by telephone", _opted_out, "Customer opted out",
         ("record that they said yes to texts, if they did, by telephone for example", SEND_AGAIN)),
    Kind("expired", _expired, "Expired before it could be sent", (SEND_AGAIN,),
         says_first="make sure that it is still of use"),
    Kind("no time zone", lambda town, phone: town.text_to(phone, timezone=None), "No time zone is known", (LOOK_AGAIN,),
         phone="+881612345678", says_first="give the customer a time zone",
         fix=_changed("timezone", "America/New_York")),
    Kind("its business's sender is paused", _of_paused_sender, "The business's sender is paused",
         ("let its sender send again, once that is mended",)),
    Kind("its state is stopped", _to_stopped_state, "Texts to FL are stopped",
         ("let marketing texts go to FL again, once that is over: they go within 15 minutes", LOOK_AGAIN),
         phone="+13055550142"),
    Kind("in doubt, held for a person", _in_doubt, "It may or may not have gone out", ("have it sent again",),
         says_first="make sure that the provider's log does not have it"),
    Kind("words that may mean stop", _maybe_stopped, "may mean stop",
         ("record that they said stop, if it says so",), ends="cancelled"),
    Kind("attempts used up", _refused(30003, attempts=2), "30003", (SEND_AGAIN,)),
    PLANNED,
    Kind("accepted, not delivered", _due, "30006", (SEND_AGAIN,), after_run=_not_delivered,
         says_first="check the number", fix=_changed("phone", "+12125550193")),
)  # fmt: skip


def bring_about(kinds: tuple[Kind, ...], town: Town, flow: FlowProcess) -> dict[Kind, UUID]:
    """One run for all of them, and one of `sync-delivery-status` if what became of one is asked; their customers."""
    # Those that move the clock come first.
    ordered = sorted(kinds, key=lambda kind: kind.make is not _expired)
    customers = {kind: kind.make(town, kind.phone or f"+121255501{60 + number}") for number, kind in enumerate(ordered)}
    flow.run(SMSRETRY_IN_DOUBT="hold")
    for kind, customer in customers.items():
        kind.after_run(town, customer)
    if any(kind.after_run is not _nothing for kind in kinds):
        town.stack.move_clock(timedelta(minutes=6))
        replace(flow, module="flows.sync_delivery_status").run()
    return {kind: customers[kind] for kind in kinds}
