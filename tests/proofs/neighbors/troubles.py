"""Trouble that comes upon everybody: deaths, locks, grants, triggers, lost answers, and changes in mid-flight."""

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Any, Final, Literal
from uuid import UUID

from smsretry.adapters.twilio.provider import TwilioProvider
from smsretry.local.twilio.faults import AcceptThenDrop, DropUnaccepted
from smsretry.retry.models import Claim
from smsretry.retry.models import Text as Message
from tests.proofs.town.luck import dice, new_id
from tests.proofs.town.street import MINUTE, Life, Neighbor, Street
from tests.proofs.town.texts import Text, write

_BAD_LUCK = 2
"""So many victims of a row that kills cannot know; from then on it must be alone."""


# -- workers that die --------------------------------------------------------------------------------------------------


def killer(share: float = 0.05) -> Neighbor:
    """Workers die right after their claim, by bad luck."""

    def live(street: Street) -> None:
        def kills(claims: Sequence[Claim]) -> str | None:
            unlucky = (
                street.minute <= street.busy
                and dice(street.seed, "killed", street.minute) < share
            )
            return "bad luck" if claims and unlucky else None

        street.deaths.append(kills)

    return live


def _deadly(street: Street, of: Any, cause: str) -> None:
    """Each worker dies that has such a claim."""
    deaths = Counter[UUID]()

    def kills(claims: Sequence[Claim]) -> str | None:
        deadly = [claim.id for claim in claims if of(claim)]
        if not deadly:
            return None
        deaths.update(deadly)
        street.counts[f"workers killed by {cause}"] += 1
        fewest = min(deaths[row] for row in deadly)
        if fewest <= _BAD_LUCK:
            return "bad luck"
        return (
            "its first time alone"
            if fewest == _BAD_LUCK + 1 and len(claims) == 1
            else "a row"
        )

    street.deaths.append(kills)


def poison(street: Street) -> None:
    """Rows that kill every worker that claims them: too much for its memory, say."""
    ends: dict[str, Any] = {
        "may_end": ("(pending|processing): .*died", "in doubt: The worker died")
    }
    retry_ids = {text.retry_id for text in street.move_in("poison", [3, 4], **ends)}
    _deadly(street, lambda claim: claim.id in retry_ids, "a row")


def poison_in_doubt(street: Street) -> None:
    """A text in doubt that kills every worker that looks for it."""
    [text] = street.move_in("poison in doubt", [1], may_end=("in doubt: ",))
    street.stack.twilio.fail(AcceptThenDrop(), to=text.phone)
    _deadly(
        street,
        lambda claim: claim.id == text.retry_id and claim.in_doubt_since,
        "a row in doubt",
    )


# -- the database ------------------------------------------------------------------------------------------------------


def idle_transaction(street: Street) -> Life:
    """For two minutes a transaction holds customers and another text's send log locked while their texts are due."""
    texts = street.move_in("idle transaction", [street.busy // 3] * 32)
    yield from street.until(street.busy // 3)
    with street.stack.connect() as holding, holding.transaction():
        customers = [text.customer_id for text in texts[1:]]
        holding.execute(
            "select from customers where id = any (%s) for update", [customers]
        )
        holding.execute(
            "select from send_logs where id = %s for update", [texts[0].send_log_id]
        )
        yield from street.until(street.busy // 3 + 2)


def revoked_grant(minutes: int) -> Neighbor:
    """An operator takes the worker's right to begin away, and gives it back some minutes later."""

    def live(street: Street) -> Life:
        yield from street.until(street.busy // 2)
        street.outages.append((street.now, street.now + minutes * MINUTE))
        street.connection.execute(
            "revoke execute on function begin_sms_attempt from service_role"
        )
        try:
            yield from street.until(street.busy // 2 + minutes)
        finally:
            street.connection.execute(
                "grant execute on function begin_sms_attempt to service_role"
            )

    return live


_REFUSES = """
create function public.refuses() returns trigger language plpgsql as $$
begin
    if new.business_id = '{}' and new.status = 'processing' and old.status = 'pending' then
        raise exception 'Not now';
    end if;
    return new;
end $$;
create trigger refuses before update on public.sms_retry_queue for each row execute function public.refuses();
"""


def refusing_trigger(street: Street) -> Life:
    """The application has a trigger on the queue: for some minutes nobody may claim this tenant's rows."""
    street.move_in("refusing trigger", [street.busy // 4] * 5)
    yield from street.until(street.busy // 4)
    street.connection.execute(
        _REFUSES.format(street.business("refusing trigger")).encode()
    )
    try:
        yield from street.until(street.busy // 2)
    finally:
        street.connection.execute("drop function public.refuses() cascade")


# -- changes while a worker holds a row --------------------------------------------------------------------------------

_OTHER_WORDS = "Other words"
_CHANGES: Final[tuple[tuple[Literal["begin", "finish"], str, tuple[str, ...]], ...]] = (
    # what comes next, what is changed before, and how the text may end
    (
        "begin",
        "update customers set phone = '+1646' || right(phone, 7) where id = %(customer)s",
        ("completed",),
    ),
    (
        "begin",
        "update customers set timezone = 'America/Detroit' where id = %(customer)s",
        ("completed",),
    ),
    (
        "begin",
        f"update send_logs set subject = '{_OTHER_WORDS}' where id = %(log)s",
        ("completed",),
    ),
    (
        "begin",
        "update customers set phone = null where id = %(customer)s",
        ("failed: .*no phone number",),
    ),
    (
        "begin",
        "delete from customers where id = %(customer)s",
        ("failed: Customer not found",),
    ),
    (
        "begin",
        "delete from send_logs where id = %(log)s",
        ("failed: Send log not found",),
    ),
    ("begin", "delete from sms_retry_queue where id = %(row)s", ("gone",)),
    (
        "begin",
        "update send_logs set channel = 'email' where id = %(log)s",
        ("failed: .*channel email", "completed"),
    ),
    (
        "begin",
        "update customers set sms_consent_status = 'opted_out' where id = %(customer)s",
        ("cancelled: Customer opted out",),
    ),
    ("begin", "delete from businesses where id = %(business)s", ("gone",)),
    ("finish", "delete from send_logs where id = %(log)s", ("completed",)),
    ("finish", "delete from customers where id = %(customer)s", ("completed",)),
    ("finish", "delete from sms_retry_queue where id = %(row)s", ("gone",)),
    (
        "finish",
        "update sms_retry_queue set last_error = 'mine' where id = %(row)s",
        ("completed",),
    ),
)


def mid_flight(street: Street) -> None:
    """Tenants change and delete rows while a worker holds them."""
    for n, (when, change, ends) in enumerate(_CHANGES):
        owner = "changed in mid-flight" + (
            " with its business" if "businesses" in change else ""
        )
        text = street.text(owner, 2 + n * street.busy // len(_CHANGES), may_end=ends)
        text.may_be_stopped = "opted_out" in change
        text.decided |= {"deleted"} if ends == ("gone",) else set()
        text.other_words = _OTHER_WORDS if _OTHER_WORDS in change else None
        street.open(owner)
        write(street.connection, [text])
        street.meanwhile(text, when, partial(_change, street, text, change))


def _change(street: Street, text: Text, change: str) -> None:
    ids = {
        "customer": text.customer_id,
        "log": text.send_log_id,
        "row": text.retry_id,
        "business": text.business_id,
    }
    with street.stack.connect() as connection:
        connection.execute(change.encode(), ids)
    if "right(phone" in change:
        text.phone = "+1646" + (text.phone or "")[-7:]
    street.counts["changes in mid-flight"] += 1


def sends_by_itself(street: Street) -> None:
    """An application texts the same people the same words by itself, while ours are in doubt."""
    for n, text in enumerate(
        street.move_in("sends by itself", [2 + n * street.busy // 6 for n in range(6)])
    ):
        street.stack.twilio.fail(
            AcceptThenDrop() if n % 2 else DropUnaccepted(), to=text.phone
        )
        street.meanwhile(text, "finish", partial(_send_as_application, street, text))


def _send_as_application(street: Street, text: Text) -> None:
    """Ours is on its way, and its answer is lost."""
    words, ours = (
        text.body or "",
        {"attempt_id": new_id(text.retry_id), "valid_for": timedelta(hours=1)},
    )
    with (
        TwilioProvider(street.stack.settings()) as sender,
        street.stack.connect() as connection,
    ):
        message = Message.model_validate(
            ours | {"sender": sender.default, "to": text.phone or "", "body": words}
        )
        sid = getattr(sender.send(message), "sid", None)
        connection.execute(
            """insert into send_logs (business_id, customer_id, subject, status, provider_message_id)
               values (%s, %s, %s, 'sent', jsonb_build_object('twilio_sid', %s::text))""",
            [text.business_id, text.customer_id, words, sid],
        )
    text.other_numbers.add(str(sid))
    street.counts["texts the application sent itself"] += 1
