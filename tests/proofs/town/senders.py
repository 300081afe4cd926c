"""Senders of the town's businesses, who sends for whom, and who did at any time before."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import psycopg
from pydantic import SecretStr

from smsretry.local.stack import SENDER, Stack
from smsretry.local.twilio.accounts import Account
from smsretry.settings import Settings
from tests.proofs.town.book import Address, Story
from tests.proofs.town.report import Finding
from tests.proofs.town.texts import Text
from tests.support.records import columns
from tests.support.senders import OwnSender, hexadecimal, number_of, open_account

_REMOVE = "select remove_sms_sender(%s, who => 'proof', because => 'Dice')"
_IS_KNOWN = "select 1 from smsretry.senders where account = %s and sent_by = %s"


@dataclass(frozen=True, slots=True)
class _Move:
    began: datetime
    ended: datetime | None
    """None: nobody knows whether it was written."""
    to: Address


class Senders:
    """The accounts of a run, and each business's way through them. At first all have the default sender."""

    def __init__(self, stack: Stack, seed: str) -> None:
        environment = stack.environment()
        self.environment: Final[Address] = (environment["TWILIO_ACCOUNT_SID"], SENDER)
        self.tokens = {
            environment["TWILIO_ACCOUNT_SID"]: environment["TWILIO_AUTH_TOKEN"]
        }
        """By account, as Twilio has them."""
        self.listed_tokens = dict[str, str]()
        """Tokens of accounts that the parent's does not reach, as the runner has them."""
        self.counts = Counter[str]()
        self._stack, self._seed = stack, seed
        self._moves: defaultdict[UUID, list[_Move]] = defaultdict(list)

    def open(
        self,
        *name: object,
        foreign: bool = False,
        account: object = None,
        number: bool | None = None,
        segments_per_second: float | None = None,
        segments_per_day: int | None = None,
    ) -> OwnSender:
        """A sender of that name: a messaging service of a subaccount, or a number in a foreign account.

        Args:
            account: the name of its account. None: it has one of its own.
            number: whether it is a number in any case, or a service.
        """
        owner = name if account is None else (account,)
        sid, token = (hexadecimal(prefix, self._seed, *owner) for prefix in ("AC", ""))
        is_number = foreign if number is None else number
        sent_by = (
            number_of(self._seed, *name)
            if is_number
            else hexadecimal("MG", self._seed, *name)
        )
        if existing := self._stack.twilio.accounts.find(sid):
            services = {} if is_number else {sent_by: {number_of(sent_by)}}
            existing.services.update(services)
            existing.numbers.update({sent_by} if is_number else services[sent_by])
        else:
            open_account(
                self._stack, sid, token, subaccount=not foreign, senders=[sent_by]
            )
            self.tokens[sid] = token
            if foreign:
                self.listed_tokens[sid] = token
        return OwnSender(sid, sent_by, segments_per_second, segments_per_day)

    def account(self, sender: OwnSender) -> Account:
        """The sender's account, as Twilio has it."""
        account = self._stack.twilio.accounts.find(sender.account)
        assert account is not None
        return account

    def credentials(self) -> str:
        """As TWILIO_ACCOUNTS has them."""
        return json.dumps(
            {
                account: {"auth_token": token}
                for account, token in self.listed_tokens.items()
            }
        )

    def settings(self, settings: Settings) -> Settings:
        """The settings of a runner that has these credentials, too."""
        return settings.model_copy(
            update={"twilio_accounts": SecretStr(self.credentials())}
        )

    def move(self, business_id: UUID, sender: OwnSender | None) -> None:
        """Have it send for a business from now on; None: the environment's. A sender that nobody uses any more goes."""
        began, ended, before = self._stack.now(), None, self._moves[business_id]
        try:
            with self._stack.connect() as connection:
                if sender:
                    sender.assign(connection, business_id)
                elif before and before[-1].to != self.environment:
                    connection.execute(_REMOVE, [business_id])
                ended = self._stack.now()
                self.counts["removed"] += bool(
                    before
                    and not connection.execute(_IS_KNOWN, before[-1].to).fetchone()
                )
        except psycopg.OperationalError:
            pass  # PostgreSQL is down just now
        self._moves[business_id].append(
            _Move(began, ended, sender.address if sender else self.environment)
        )
        self.counts["own" if sender else "environment's"] += 1

    def note(self, business_id: UUID, address: Address) -> None:
        """It has this sender, which somebody else has written."""
        self._moves[business_id].append(
            _Move(self._stack.now(), self._stack.now(), address)
        )

    def settle(self) -> None:
        """Moves of which nobody knows whether they were written are looked up, now that nothing moves."""
        unsure = [
            business_id
            for business_id, moves in self._moves.items()
            if moves[-1].ended is None
        ]
        with self._stack.connect() as connection:
            for business_id in unsure:
                row = connection.execute(
                    """select s.account, s.sent_by from smsretry.business_senders b
                       join smsretry.senders s on s.id = b.sender_id where b.business_id = %s""",
                    [business_id],
                ).fetchone()
                self.note(
                    business_id,
                    columns(row, "account", "sent_by") if row else self.environment,
                )

    def at(self, business_id: UUID, since: datetime, until: datetime) -> set[Address]:
        """What it may have been sent from at some moment between these two."""
        addresses = {self.environment}
        for move in self._moves[business_id]:
            if move.began > until:
                break
            if move.ended is not None and move.ended <= since:
                addresses.clear()
            addresses.add(move.to)
        return addresses

    def wrong(self, text: Text, story: Story) -> Iterator[Finding]:
        """Messages that left from a sender that was not the business's when their send began."""
        for message in story.messages:
            own_attempts = [
                a for a in story.attempts if a["twilio_sid"] == message.sid
            ] or story.attempts
            spans = [(attempt["begun_at"], message.at) for attempt in own_attempts] or [
                (text.due_at, message.at)
            ]
            allowed = set[Address]().union(
                *(self.at(text.business_id, *span) for span in spans)
            )
            if message.address not in allowed:
                yield (
                    "wrong sender",
                    f"accepted {message.at} from {message.address}, and not from {allowed}",
                )
