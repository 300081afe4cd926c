"""Trouble that comes upon everybody: deaths, locks, grants, triggers, lost answers, and changes in mid-flight."""

import json
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final, Literal
from uuid import UUID

from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.local.twilio.faults import AcceptThenDrop, DropUnaccepted
from smsretry.retry.models import Claim
from smsretry.retry.models import Text as Message
from tests.proofs.neighbors.street import MINUTE, WELL_BEHAVED, Life, Neighbor, Street
from tests.proofs.town.luck import dice, new_id
from tests.proofs.town.texts import Text, write

_UNTIL_SENT_AGAIN: Final = timedelta(minutes=26)
"""For a text in doubt of which there is no trace: looks after 1, 5 and 15 minutes, and the runs."""
_BAD_LUCK: Final = 2
"""So many victims of a row that kills cannot know; from then on it must be alone."""


# -- workers that die --------------------------------------------------------------------------------------------------


def killer(share: float = 0.05) -> Neighbor:
    """Workers die right after their claim, by bad luck."""

    def live(street: Street) -> None:
        def kills(claims: Sequence[Claim]) -> str | None:
            unlucky = street.minute <= street.busy and dice(street.seed, "killed", street.minute) < share
            return "bad luck" if claims and unlucky else None

        street.deaths.append(kills)

    return live


def _deadly(street: Street, of: Any, what: str) -> None:
    """Each worker dies that has such a claim."""
    deaths = Counter[UUID]()

    def kills(claims: Sequence[Claim]) -> str | None:
        deadly = [claim.id for claim in claims if of(claim)]
        if not deadly:
            return None
        deaths.update(deadly)
        street.counts[f"workers killed by {what}"] += 1
        fewest = min(deaths[row] for row in deadly)
        if fewest <= _BAD_LUCK:
            return "bad luck"
        return "its first time alone" if fewest == _BAD_LUCK + 1 and len(claims) == 1 else "a row"

    street.deaths.append(kills)


def poison(street: Street) -> None:
    """Rows that kill every worker that claims them: too much for its memory, say."""
    ends: dict[str, Any] = {"may_end": ("(pending|processing): .*died", "in doubt: The worker died")}
    mine = {text.retry_id for text in street.move_in("poison", [3, 4], **ends)}
    _deadly(street, lambda claim: claim.id in mine, "a row")


def poison_in_doubt(street: Street) -> None:
    """A text in doubt that kills every worker that looks for it."""
    [text] = street.move_in("poison in doubt", [1], may_end=("in doubt: ",))
    street.stack.twilio.fail(AcceptThenDrop(), to=text.phone)
    _deadly(street, lambda claim: claim.id == text.retry_id and claim.in_doubt_since, "a row in doubt")


# -- the database ------------------------------------------------------------------------------------------------------


@contextmanager
def _locked(street: Street, customers: Sequence[UUID], logs: Sequence[UUID], *, until_given_up: bool) -> Iterator[None]:
    with street.stack.connect() as holding:
        holding.autocommit = False
        holding.execute("select 1 from customers where id = any (%s) for update", [[*customers]])
        holding.execute("select 1 from send_logs where id = any (%s) for update", [[*logs]])
        over = threading.Event()

        def watch() -> None:
            while until_given_up and not over.wait(0.1):
                if street.unanswered:
                    holding.close()
                    return

        watcher = threading.Thread(target=watch)
        watcher.start()
        yield
        over.set()
        watcher.join()
        holding.close()


def idle_transaction(minutes: int, texts: int = 32, *, until_given_up: bool = False) -> Neighbor:
    """A transaction holds customers and another text's send log locked while their texts are due.

    Args:
        until_given_up: it ends when the worker has given up a call, before the minute is over.
    """

    def live(street: Street) -> Life:
        mine = street.move_in("idle transaction", [street.busy // 3] * texts)
        yield from street.until(street.busy // 3)
        rows = [text.customer_id for text in mine[1:]], [mine[0].send_log_id]
        with _locked(street, *rows, until_given_up=until_given_up):
            yield from street.until(street.busy // 3 + minutes)

    return live


def revoked_grant(minutes: int) -> Neighbor:
    """An operator takes the worker's right to begin away, and gives it back some minutes later."""

    def live(street: Street) -> Life:
        yield from street.until(street.busy // 2)
        street.outages.append((street.now, street.now + minutes * MINUTE))
        street.connection.execute("revoke execute on function begin_sms_attempt from service_role")
        try:
            yield from street.until(street.busy // 2 + minutes)
        finally:
            street.connection.execute("grant execute on function begin_sms_attempt to service_role")

    return live


_TRIGGER: Final = """
create function public.neighbor_{n}() returns trigger language plpgsql as $$
begin
    if new.business_id = '{business}' and {when} then {does}; end if;
    return new;
end $$;
create trigger neighbor_{n} before update on public.sms_retry_queue
for each row execute function public.neighbor_{n}();
"""
_SLEEPS: Final = "perform pg_sleep(0.3)"


def with_trigger(owner: str, texts: int, when: str, does: str, since: float = 0, until: float = 1) -> Neighbor:
    """The application has a trigger on the queue, which does something for this tenant alone.

    Args:
        since: from this share of the busy time on, until that one.
    """

    def live(street: Street) -> Life:
        street.move_in(owner, [street.busy // 4] * texts)
        yield from street.until(since * street.busy)
        business, n = street.business(owner), new_id(owner).hex[:8]
        street.connection.execute(_TRIGGER.format(n=n, business=business, when=when, does=does).encode())
        try:
            yield from street.until(until * street.busy)
        finally:
            street.connection.execute(f"drop function public.neighbor_{n}() cascade".encode())

    return live


def sleeping_trigger(street: Street) -> Life | None:
    """Its sends begin slowly: in one group they would take longer than anybody waits."""
    return with_trigger("sleeping trigger", 12, "new.begun_at is not null and old.begun_at is null", _SLEEPS)(street)


def slow_claims(street: Street) -> Life | None:
    """Its rows are slow to claim and to take back."""
    return with_trigger("slow claims", 6, "new.status <> old.status", _SLEEPS)(street)


def refusing_trigger(street: Street) -> Life | None:
    """For some minutes nobody may claim its rows."""
    when = "new.status = 'processing' and old.status = 'pending'"
    return with_trigger("refusing trigger", 5, when, "raise exception 'Not now'", 0.25, 0.5)(street)


def lost_answers(street: Street) -> Life:
    """The network drops the answer to a claim that the database has committed."""
    try:
        while True:
            n = yield from street.tick()
            street.stack.rpc_faults.clear()
            if n <= street.busy and dice(street.seed, "lost answers", n) < 0.05:
                street.stack.rpc_faults.drop_after_commit("claim_sms_texts")
                street.counts["claims whose answer was lost"] += 1
    finally:
        street.stack.rpc_faults.clear()


def undecodable_answers(street: Street) -> None:
    """Its calls are answered by something in between, in a way that no client can decode."""
    left = {text.retry_id for text in street.move_in("undecodable", [1 + n * street.busy / 4 for n in range(4)])}

    def between(claim: Claim, moment: str) -> None:
        if claim.id in left:
            left.remove(claim.id)
            kind: Literal["broken_gzip", "nested"] = "nested" if len(left) % 2 else "broken_gzip"
            street.stack.rpc_faults.unreadable("begin_sms_attempt", kind, about=str(claim.id))
            street.counts["answers that nobody can decode"] += 1

    street.between.append(between)


# -- changes while a worker holds a row --------------------------------------------------------------------------------

_OTHER_WORDS: Final = "Other words"
_CHANGES: Final[tuple[tuple[Literal["begin", "finish"], str, tuple[str, ...]], ...]] = (
    # what comes next, what is changed before, and how the text may end
    ("begin", "update customers set phone = '+1646' || right(phone, 7) where id = %(customer)s", ("completed",)),
    ("begin", "update customers set timezone = 'America/Detroit' where id = %(customer)s", ("completed",)),
    ("begin", f"update send_logs set subject = '{_OTHER_WORDS}' where id = %(log)s", ("completed",)),
    ("begin", "update customers set phone = null where id = %(customer)s", ("failed: .*no phone number",)),
    ("begin", "delete from customers where id = %(customer)s", ("failed: Customer not found",)),
    ("begin", "delete from send_logs where id = %(log)s", ("failed: Send log not found",)),
    ("begin", "delete from sms_retry_queue where id = %(row)s", ("gone",)),
    ("begin", "update send_logs set channel = 'email' where id = %(log)s", ("failed: .*channel email", "completed")),
    (
        "begin",
        "update customers set sms_consent_status = 'opted_out' where id = %(customer)s",
        ("cancelled: Customer opted out",),
    ),
    ("begin", "delete from businesses where id = %(business)s", ("gone",)),
    ("finish", "delete from send_logs where id = %(log)s", ("completed",)),
    ("finish", "delete from customers where id = %(customer)s", ("completed",)),
    ("finish", "delete from sms_retry_queue where id = %(row)s", ("gone",)),
    ("finish", "update sms_retry_queue set last_error = 'mine' where id = %(row)s", ("completed",)),
)


def mid_flight(street: Street) -> None:
    """Tenants change and delete rows while a worker holds them."""
    left: dict[UUID, tuple[str, str, Text]] = {}
    for n, (when, change, ends) in enumerate(_CHANGES):
        owner = "changed in mid-flight" + (" with its business" if "businesses" in change else "")
        text = street.text(owner, 2 + n * street.busy // len(_CHANGES), may_end=ends)
        text.may_be_stopped = "opted_out" in change
        text.decided |= {"deleted"} if ends == ("gone",) else set()
        text.other_words = _OTHER_WORDS if _OTHER_WORDS in change else None
        left[text.retry_id] = when, change, text
    for owner in {text.owner for *_, text in left.values()}:
        street.open(owner)
    write(street.connection, [text for *_, text in left.values()])

    def between(claim: Claim, moment: str) -> None:
        when, change, text = left.get(claim.id, (None, "", None))
        if moment != when or not text:
            return
        del left[claim.id]
        ids = {"customer": text.customer_id, "log": text.send_log_id, "row": claim.id, "business": claim.business_id}
        with street.stack.connect() as connection:
            connection.execute(change.encode(), ids)
        if "right(phone" in change:
            text.phone = "+1646" + (text.phone or "")[-7:]
        street.counts["changes in mid-flight"] += 1

    street.between.append(between)


def edited_in_doubt(street: Street) -> None:
    """Somebody corrects words and numbers of texts that are in doubt and were accepted."""
    texts = street.move_in("edited in doubt", [1 + n * street.busy / 8 for n in range(6)])
    for text in texts:
        street.stack.twilio.fail(AcceptThenDrop(), to=text.phone)

    def between(claim: Claim, moment: str) -> None:
        for n, text in enumerate(texts):
            if moment == "finish" and text.retry_id == claim.id:
                words = ("update send_logs set subject = 'Corrected words' where id = %s", [text.send_log_id])
                phone = ("update customers set phone = %s where id = %s", [f"+16465550{n:03}", text.customer_id])
                with street.stack.connect() as connection:
                    query, values = words if n % 2 else phone
                    connection.execute(query.encode(), values)
                street.counts["edited in doubt"] += 1

    street.between.append(between)


def sends_by_itself(street: Street) -> None:
    """An application texts the same people the same words by itself, while ours are in doubt."""
    texts = {t.retry_id: t for t in street.move_in("sends by itself", [2 + n * street.busy // 6 for n in range(6)])}
    for n, text in enumerate(texts.values()):
        street.stack.twilio.fail(AcceptThenDrop() if n % 2 else DropUnaccepted(), to=text.phone)

    def between(claim: Claim, moment: str) -> None:
        if moment == "finish" and (text := texts.pop(claim.id, None)):  # ours is on its way, its answer is lost
            send_as_application(street, text, text.body or "")

    street.between.append(between)


def send_as_application(street: Street, text: Text, words: str, *, recorded: bool = True) -> None:
    """Text the same person from the same sender, as a text of the application's own."""
    message = Message(attempt_id=new_id(text.retry_id), to=text.phone or "", body=words, valid_for=timedelta(hours=1))
    with TwilioSender(street.stack.settings()) as sender, street.stack.connect() as connection:
        sid = getattr(sender.send(message), "sid", None)
        connection.execute(
            """insert into send_logs (business_id, customer_id, subject, status, provider_message_id)
               values (%s, %s, %s, 'sent', %s)""",
            [text.business_id, text.customer_id, words, json.dumps({"twilio_sid": sid} if recorded else {})],
        )
    text.others.add(str(sid))
    street.counts["texts the application sent itself"] += 1


def old_processor(street: Street) -> Life:
    """The application's own processor still runs: it claims, sends half of it, begins nothing, and dies.

    It asks customers' rows for consent, and not what was kept, and knows one sender. What it sends to whom it should
    not is its own fault, and nothing of ours to judge: so it sends only what may go out.
    """
    street.move_in("old processor", [1 + n * street.busy / 8 for n in range(8)])
    shops = {street.business(f"shop {n}") for n in (0, 2, 4)} | {street.business("planned")}
    while (n := (yield from street.tick())) <= street.busy:
        if n % 7 != 3:
            continue
        with street.stack.connect() as connection, TwilioSender(street.stack.settings()) as sender:
            connection.execute("set role service_role")
            claimed = connection.execute(
                "select id, phone, body, sms_consent_status from claim_due_sms_retries(3)"
            ).fetchall()
            connection.execute("reset role")
            may_go = {
                text.retry_id for text in street.texts
                if text.owner == "old processor" or (text.owner == WELL_BEHAVED and text.business_id in shops)
            }  # fmt: skip
            for row in claimed[::2]:
                if row["id"] in may_go and row["sms_consent_status"] == "opted_in":
                    words = {"to": row["phone"], "body": row["body"] or "", "valid_for": timedelta(hours=1)}
                    sender.send(Message(attempt_id=new_id(row["id"]), **words))
                    street.counts["texts the old processor sent"] += 1
            street.counts["texts the old processor claimed"] += len(claimed)
        street.excuse_the_claimed(more=_UNTIL_SENT_AGAIN)
