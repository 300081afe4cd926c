"""Trouble that is no tenant's: locks, grants, lost answers, dying workers, and the application's own processor."""

import threading
import time
from datetime import timedelta
from typing import Final, Literal
from uuid import UUID

from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.retry.models import Claim
from smsretry.retry.models import Text as Message
from tests.proofs.faults.orders import dice
from tests.proofs.neighbors.senders import environment
from tests.proofs.neighbors.street import MINUTE, Neighbor, Street
from tests.proofs.neighbors.texts import Connection, Text, new_id

QUARANTINE: Final = timedelta(minutes=26)
"""Until a text in doubt of which there is no trace is sent again: looks after 1, 5 and 15 minutes, and the runs."""


class Locker(Neighbor):
    """Leaves a transaction idle that holds a customer's row and another text's send log."""

    name = "idle transaction"

    def __init__(self, minutes: int, *, until_given_up: bool = False) -> None:
        """`until_given_up`: end it when the worker has given up a call, before the minute is over."""
        self._minutes = minutes
        self._until_given_up = until_given_up
        self._holding: Connection | None = None
        self._texts: list[Text] = []

    def move_in(self, street: Street) -> None:
        self._texts = [street.text(self.name, n, street.busy // 3) for n in range(2)]
        street.move_in(self.name, self._texts)

    def minute(self, street: Street, n: int) -> None:
        if n == street.busy // 3:
            self._holding = street.stack.connect()
            self._holding.autocommit = False
            customer, log = self._texts[0].customer_id, self._texts[1].send_log_id
            self._holding.execute("select 1 from customers where id = %s for update", [customer])
            self._holding.execute("select 1 from send_logs where id = %s for update", [log])
            if self._until_given_up:
                threading.Thread(target=self._watch, args=(street, self._holding)).start()
        if n == street.busy // 3 + self._minutes:
            self.move_out(street)

    def _watch(self, street: Street, holding: Connection) -> None:
        while not (street.unanswered or holding.closed):
            time.sleep(0.1)
        holding.close()

    def move_out(self, street: Street) -> None:
        if self._holding:
            self._holding.close()
            self._holding = None


class Grants(Neighbor):
    """An operator takes the worker's right to begin away, and gives it back some minutes later."""

    name = "revoked grant"

    def __init__(self, minutes: int) -> None:
        self._minutes = minutes
        self._revoked = False

    def minute(self, street: Street, n: int) -> None:
        if n == street.busy // 2:
            street.connection.execute("revoke execute on function begin_sms_attempt from service_role")
            self._revoked = True
            street.outages.append((street.now, street.now + self._minutes * MINUTE))
        if n == street.busy // 2 + self._minutes:
            self.move_out(street)

    def move_out(self, street: Street) -> None:
        if self._revoked:
            street.connection.execute("grant execute on function begin_sms_attempt to service_role")
            self._revoked = False


class LostAnswers(Neighbor):
    """The network drops the answer to a claim that the database has committed."""

    name = "lost answers"

    def __init__(self, share: float = 0.05) -> None:
        self._share = share

    def minute(self, street: Street, n: int) -> None:
        street.stack.rpc_faults.clear()
        if n <= street.busy and dice(street.seed, self.name, n) < self._share:
            street.stack.rpc_faults.drop_after_commit("claim_sms_texts")
            street.counts["claims whose answer was lost"] += 1

    def move_out(self, street: Street) -> None:
        street.stack.rpc_faults.clear()


class Unreadable(Neighbor):
    """Its calls are answered by something in between, in a way that no client can decode."""

    name = "undecodable answers"

    def __init__(self) -> None:
        self._had = set[UUID]()

    def move_in(self, street: Street) -> None:
        texts = [street.text(self.name, n, 1 + n * street.busy / 4) for n in range(4)]
        street.move_in(self.name, texts)

    def between(self, street: Street, claim: Claim, moment: str) -> None:
        if claim.business_id == new_id(street.seed, "business", self.name) and claim.id not in self._had:
            self._had.add(claim.id)
            kind: Literal["broken_gzip", "nested"] = "nested" if len(self._had) % 2 else "broken_gzip"
            street.stack.rpc_faults.unreadable("begin_sms_attempt", kind, about=str(claim.id))
            street.counts["answers that nobody can decode"] += 1


class OldProcessor(Neighbor):
    """The application's own processor, still running: it claims, sends half of it, begins nothing, and dies.

    It asks customers' rows for consent, and not what was kept. What it sends to whom it should not is its own fault,
    and nothing of ours to judge: so it sends only what may go out.
    """

    name = "old processor"

    def move_in(self, street: Street) -> None:
        street.move_in(self.name, [street.text(self.name, n, 1 + n * street.busy / 8) for n in range(8)])

    def minute(self, street: Street, n: int) -> None:
        if n % 7 != 3 or n > street.busy:
            return
        with street.stack.connect() as connection, TwilioSender(street.stack.settings()) as sender:
            connection.execute("set role service_role")
            claimed = connection.execute(
                "select id, phone, body, sms_consent_status from claim_due_sms_retries(3)"
            ).fetchall()
            connection.execute("reset role")
            here = (environment(street), None)  # it knows one sender, and what it sends from there is its own fault
            may_go = {t.retry_id for t in street.texts if t.owner == self.name or (t.good and t.sent_from in here)}
            for row in claimed[::2]:
                if row["id"] in may_go and row["sms_consent_status"] == "opted_in":
                    words = {"to": row["phone"], "body": row["body"] or "", "valid_for": timedelta(hours=1)}
                    sender.send(Message(attempt_id=new_id(row["id"]), **words))
                    street.counts["texts the old processor sent"] += 1
            street.counts["texts the old processor claimed"] += len(claimed)
        street.excuse_the_claimed(more=QUARANTINE)
