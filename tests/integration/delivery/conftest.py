"""What the tests of deliveries work with."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.provider import TwilioProvider
from smsretry.local.stack import Stack
from smsretry.retry.profile import DEFAULT
from smsretry.sending.delivering import sync_deliveries
from smsretry.sending.ports import Services
from smsretry.sending.summary import DeliverySummary, FollowedUp
from tests.support.records import Connection
from tests.support.shop import Shop


@dataclass
class Post(Shop):
    """A shop whose messages are looked after."""

    services: Services = field(repr=False, kw_only=True)

    def accepted(self, **text: Any) -> UUID:
        """A text that Twilio has."""
        row = self.due_text(**text)
        assert self.run() == ["Sent"]
        return row

    def sid_of(self, row: UUID) -> str:
        """The message of its last attempt."""
        return str(self.attempts_of(row)[-1]["twilio_sid"])

    def report(
        self, row: UUID, status: str, code: int | None = None, **options: Any
    ) -> None:
        """Twilio knows this of its last message."""
        self.twilio.report(self.sid_of(row), status, code, **options)

    def lost_text(self, code: int = 30008) -> tuple[UUID, str]:
        """A text whose message a carrier lost, after that was decided about, and the message."""
        row = self.accepted()
        sid = self.sid_of(row)
        self.stack.twilio.report(sid, "undelivered", code)
        self.sync()
        return row, sid

    def settle(
        self,
        sid: str | None,
        status: str | None,
        code: int | None = None,
        attempt: UUID | None = None,
    ) -> str:
        """As the application's webhook does."""
        call = (
            "select settle_sms_attempt(%s, %s, delivery_status => %s, error_code => %s)"
        )
        return str(self.value(call, attempt, sid, status, code))

    def look(self, *, after: timedelta = timedelta(minutes=6)) -> DeliverySummary:
        """A run of the deployment, some time later."""
        self.stack.move_clock(after)
        return sync_deliveries(self.services, limit=100)

    def sync(self, *, after: timedelta = timedelta(minutes=6)) -> str:
        """Likewise; what it tells."""
        return str(self.look(after=after))

    def looked_after(self) -> FollowedUp:
        """What a look at the newest message came to, once Twilio had time to report by itself."""
        [followed] = [
            one
            for one in self.look().followed
            if one.message.sid == self.messages[-1].sid
        ]
        return followed


@pytest.fixture
def post(
    stack: Stack, owner: Connection, queue: SupabaseQueue, sender: TwilioProvider
) -> Iterator[Post]:
    """The production adapters, over HTTP. Four are asked for at once."""
    with SupabaseQueue(stack.settings()) as records:
        services = Services(records, sender, DEFAULT, 4)
        post = Post(
            owner,
            stack.now,
            stack=stack,
            queue=queue,
            provider=sender,
            services=services,
        )
        post.open()
        yield post
