"""In which accounts the provider was asked, against those that the messages went out from."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal
from urllib.parse import parse_qs

from starlette.types import Receive, Scope, Send

from smsretry.local.stack import Stack
from tests.proofs.town.book import Row, Story
from tests.proofs.town.report import Finding

What = Literal["send", "list", "fetch", "change"]
_OF_MESSAGES: Final = re.compile(r"/2010-04-01/Accounts/(AC[0-9a-f]{32})/Messages(?:/(\w+))?\.json")
_WHAT: Final[dict[tuple[str, bool], What]] = {
    ("POST", False): "send", ("GET", False): "list", ("GET", True): "fetch", ("POST", True): "change",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Asked:
    """One request to the provider."""

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
    """What passes on the wire from now on, in order."""
    asked: list[Asked] = []
    app = stack.twilio.app
    before = app.middleware_stack or app.build_middleware_stack()

    async def tap(scope: Scope, receive: Receive, send: Send) -> None:
        if of_messages := _OF_MESSAGES.fullmatch(scope.get("path", "")):
            account, sid = of_messages[1], of_messages[2]
            query = parse_qs(scope["query_string"].decode())
            [to], [sender] = query.get("To", [None]), query.get("From", [None])
            asked.append(Asked(_WHAT[scope["method"], sid is not None], account, stack.now(), sid, to, sender))
        await before(scope, receive, send)

    app.middleware_stack = tap
    try:
        yield asked
    finally:
        app.middleware_stack = before


def judge_questions(asked: Sequence[Asked], stories: Mapping[str | None, Story]) -> Iterator[Finding]:
    """What was asked in another account than the message went out from, or the attempt that it was asked for.

    Args:
        stories: by the text's number.
    """
    account_of = {message.sid: message.address[0] for story in stories.values() for message in story.messages}
    for one in asked:
        match one.what:
            case "send":
                continue  # that is judged by the ledger
            case "fetch" | "change":
                expected = {account_of.get(one.sid or "")}
            case "list":
                expected = _looked_for(stories[one.to].attempts, one)
        if one.account not in expected:
            yield "wrong account", f"{one.what} of {one.sid} at {one.at:%H:%M:%S.%f}"


def _looked_for(attempts: Sequence[Row], look: Asked) -> set[str | None]:
    """The accounts of the attempts that this look may have been for: begun before it, from the number that it names."""
    candidates = [a for a in attempts if a["begun_at"] <= look.at and look.sender in (None, a["sent_by"])]
    in_doubt = [a for a in candidates if a["finished_at"] is None or a["finished_at"] >= look.at]
    return {attempt["sent_account"] for attempt in in_doubt or candidates[-1:]}
