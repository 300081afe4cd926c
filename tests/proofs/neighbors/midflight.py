"""Tenants that change, delete and send while a worker holds their rows, or while these are in doubt."""

import json
from datetime import timedelta
from typing import Final
from uuid import UUID

from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.local.twilio.faults import AcceptThenDrop, DropUnaccepted
from smsretry.retry.models import Claim
from smsretry.retry.models import Text as Message
from tests.proofs.neighbors.street import Neighbor, Street
from tests.proofs.neighbors.texts import Text, new_id, open_business

_OTHER_WORDS: Final = "Other words"
_CHANGES: Final[dict[str, tuple[str, str, tuple[str, ...]]]] = {
    # when: what, SQL about the claim's ids, and how the text may end
    "number": (
        "begin",
        "update customers set phone = '+1646' || right(phone, 7) where id = %(customer)s",
        ("completed",),
    ),
    "zone": ("begin", "update customers set timezone = 'America/Detroit' where id = %(customer)s", ("completed",)),
    "body": ("begin", f"update send_logs set subject = '{_OTHER_WORDS}' where id = %(log)s", ("completed",)),
    "no number": ("begin", "update customers set phone = null where id = %(customer)s", ("failed: .*no phone number",)),
    "no customer": ("begin", "delete from customers where id = %(customer)s", ("failed: Customer not found",)),
    "no log": ("begin", "delete from send_logs where id = %(log)s", ("failed: Send log not found",)),
    "no row": ("begin", "delete from sms_retry_queue where id = %(row)s", ("gone",)),
    "email": (
        "begin",
        "update send_logs set channel = 'email' where id = %(log)s",
        ("failed: .*channel email", "completed"),
    ),
    "opted out": (
        "begin",
        "update customers set sms_consent_status = 'opted_out' where id = %(customer)s",
        ("cancelled: Customer opted out",),
    ),
    "log went": ("finish", "delete from send_logs where id = %(log)s", ("completed",)),
    "customer went": ("finish", "delete from customers where id = %(customer)s", ("completed",)),
    "row went": ("finish", "delete from sms_retry_queue where id = %(row)s", ("gone",)),
    "row was reset": (
        "finish",
        "update sms_retry_queue set last_error = 'mine', reason = 'rate_limit' where id = %(row)s",
        ("completed",),
    ),
    "business went": ("begin", "delete from businesses where id = %(business)s", ("gone",)),
}  # fmt: skip


class Changer(Neighbor):
    """Changes and deletes rows while a worker holds them."""

    name = "changes in mid-flight"

    def __init__(self) -> None:
        self._left: dict[UUID, tuple[str, str]] = {}
        self._moves: Text | None = None

    def move_in(self, street: Street) -> None:
        texts = []
        for n, (what, (moment, change, ends)) in enumerate(_CHANGES.items()):
            text = street.text(self.name, n, 2 + n * street.busy // len(_CHANGES), may_end=ends)
            if what == "business went":
                text.business_id = new_id(street.seed, "business", what)
                open_business(street.connection, text.business_id)
            self._left[text.retry_id] = moment, change
            if what == "body":
                text.other_words = _OTHER_WORDS
            if what == "number":
                self._moves = text
            texts.append(text)
        street.move_in(self.name, texts)

    def between(self, street: Street, claim: Claim, moment: str) -> None:
        when, change = self._left.get(claim.id, ("", ""))
        if when == moment:
            del self._left[claim.id]
            with street.stack.connect() as connection:
                row = connection.execute("select * from sms_retry_queue where id = %s", [claim.id]).fetchone() or {}
                ids = {"customer": row["customer_id"], "log": row["send_log_id"], "row": claim.id}
                connection.execute(change.encode(), ids | {"business": claim.business_id})
            street.counts["changes in mid-flight"] += 1
            if self._moves and self._moves.retry_id == claim.id:
                self._moves.phone = "+1646" + (self._moves.phone or "")[-7:]


class Twin(Neighbor):
    """An application that texts the same people the same words by itself, while ours are in doubt."""

    name = "sends by itself"

    def __init__(self) -> None:
        self._texts: dict[UUID, Text] = {}

    def move_in(self, street: Street) -> None:
        texts = []
        for n in range(6):
            minute = 2 + n * street.busy // 6
            text = street.text(self.name, n, minute)
            fault = AcceptThenDrop() if n % 2 else DropUnaccepted()
            street.stack.twilio.fail(fault, to=text.phone)
            self._texts[text.retry_id] = text
            texts.append(text)
        street.move_in(self.name, texts)

    def between(self, street: Street, claim: Claim, moment: str) -> None:
        text = self._texts.pop(claim.id, None) if moment == "finish" else None
        if text:  # ours is on its way, its answer is lost
            send_as_application(street, text, text.body or "")
            text.from_application += 1


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
    street.counts["texts the application sent itself"] += 1


class Editor(Neighbor):
    """Corrects words and numbers of texts that are in doubt and were accepted."""

    name = "edited in doubt"

    def __init__(self) -> None:
        self._texts: list[Text] = []

    def move_in(self, street: Street) -> None:
        self._texts = [street.text(self.name, n, 1 + n * street.busy / 8) for n in range(6)]
        for text in self._texts:
            street.stack.twilio.fail(AcceptThenDrop(), to=text.phone)
        street.move_in(self.name, self._texts)

    def between(self, street: Street, claim: Claim, moment: str) -> None:
        for n, text in enumerate(self._texts):
            if moment == "finish" and text.retry_id == claim.id:
                with street.stack.connect() as connection:
                    if n % 2:
                        changed = "update send_logs set subject = 'Corrected words' where id = %s"
                        connection.execute(changed, [text.send_log_id])
                    else:
                        changed = "update customers set phone = '+16465550' || %s where id = %s"
                        connection.execute(changed, [f"{n:03}", text.customer_id])
                street.counts["edited in doubt"] += 1
