"""Every request to Twilio, as it passes on the wire: which account was asked for what, and when."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal
from urllib.parse import parse_qs

from starlette.types import ASGIApp, Receive, Scope, Send

from smsretry.local.stack import Stack

_OF_MESSAGES: Final = re.compile(r"/2010-04-01/Accounts/(AC[0-9a-f]{32})/Messages(?:/(\w+))?\.json")
What = Literal["send", "list", "fetch", "change"]
_WHAT: Final[dict[tuple[str, bool], What]] = {
    ("POST", False): "send", ("GET", False): "list", ("GET", True): "fetch", ("POST", True): "change",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Asked:
    """One request."""

    what: What
    account: str
    at: datetime
    sid: str | None = None
    """Of the message, for a fetch or a change of one."""
    to: str | None = field(default=None, repr=False)
    """Of a list: the number that it is filtered by."""
    sender: str | None = field(default=None, repr=False)
    """Likewise the number that the messages are from."""


@contextmanager
def listening(stack: Stack) -> Iterator[list[Asked]]:
    """What passes from now on, in order."""
    asked: list[Asked] = []
    app = stack.twilio.app
    before = app.middleware_stack or app.build_middleware_stack()
    app.middleware_stack = _tap(before, stack, asked)
    try:
        yield asked
    finally:
        app.middleware_stack = before


def _tap(app: ASGIApp, stack: Stack, asked: list[Asked]) -> ASGIApp:
    async def tap(scope: Scope, receive: Receive, send: Send) -> None:
        of_messages = _OF_MESSAGES.fullmatch(scope.get("path", ""))
        if of_messages:
            account, sid = of_messages[1], of_messages[2]
            query = parse_qs(scope["query_string"].decode())
            [to], [sender] = query.get("To", [None]), query.get("From", [None])
            asked.append(Asked(_WHAT[scope["method"], sid is not None], account, stack.now(), sid, to, sender))
        await app(scope, receive, send)

    return tap
