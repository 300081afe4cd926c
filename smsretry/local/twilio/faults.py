"""The ways in which the Twilio stand-in can be made to fail, and the order in which it will.

A fault of sending strikes a request that Twilio would otherwise accept; `accepted` says whether the message is in the
ledger all the same, which is the one thing the sender cannot see.
"""

import threading
from dataclasses import KW_ONLY, dataclass
from datetime import timedelta
from enum import Enum
from typing import ClassVar, TypeVar


@dataclass(frozen=True, slots=True)
class JsonError:
    """Twilio's error JSON. With `accepted`, the message was created before the error was."""

    code: int
    _: KW_ONLY
    http_status: int
    message: str = "The stand-in was told to answer with this error"
    retry_after: timedelta | None = None
    """Sent as the `Retry-After` header, in whole seconds. Twilio documents none for this endpoint."""
    accepted: bool = False


@dataclass(frozen=True, slots=True)
class HtmlError:
    """A page of HTML, as a proxy or a load balancer in front of Twilio sends."""

    _: KW_ONLY
    http_status: int = 503
    accepted: bool = False


@dataclass(frozen=True, slots=True)
class DropUnaccepted:
    """The whole request was read, and forgotten: the connection is reset without a byte of an answer."""

    accepted: ClassVar[bool] = False


@dataclass(frozen=True, slots=True)
class AcceptThenDrop:
    """The message is accepted; then the connection is reset without a byte of an answer."""

    accepted: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class AcceptThenWait:
    """The message is accepted at once; the 201 comes this much later, in real time."""

    wait: timedelta
    accepted: ClassVar[bool] = True


class BrokenAnswer(Enum):
    """A 201 for an accepted message, which does not say what a 201 should."""

    EMPTY = "no body"
    HTML = "a page of HTML"
    TRUNCATED = "the connection closes in the middle of the body"
    WITHOUT_SID = "the message's JSON, but its sid is null"

    @property
    def accepted(self) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class ListError:
    """`GET Messages.json` answers with this error."""

    code: int = 20500
    _: KW_ONLY
    http_status: int = 500


@dataclass(frozen=True, slots=True)
class FetchError:
    """`GET Messages/{sid}.json` answers with this error."""

    code: int = 20500
    _: KW_ONLY
    http_status: int = 500


@dataclass(frozen=True, slots=True)
class EndlessList:
    """`GET Messages.json` has no last page: the next one is this one."""


@dataclass(frozen=True, slots=True)
class ListLag:
    """`GET Messages.json` does not show a message until it is this old by the stand-in's clock."""

    lag: timedelta


SendFault = JsonError | HtmlError | DropUnaccepted | AcceptThenDrop | AcceptThenWait | BrokenAnswer
Fault = SendFault | ListError | EndlessList | ListLag | FetchError
_Kind = TypeVar("_Kind")


@dataclass(slots=True)
class _Planned:
    fault: Fault
    to: str | None
    left: int | None


class FaultPlan:
    """What is still to go wrong. The first planned fault that fits is used first. Any thread may use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._planned: list[_Planned] = []

    def add(self, fault: Fault, *, to: str | None, times: int | None) -> None:
        """Plan one fault for the next `times` requests; None: for every one until `clear`."""
        if times is not None and times < 1:
            raise ValueError(f"times is {times}: give a count of at least 1, or None for 'until healed'")
        with self._lock:
            self._planned = [planned for planned in self._planned if planned.left != 0]
            self._planned.append(_Planned(fault, to, times))

    def clear(self) -> None:
        """Nothing goes wrong any more."""
        with self._lock:
            self._planned.clear()

    def next(self, to: str | None, *kinds: type[_Kind]) -> _Kind | None:
        """Use up the next fault of these kinds for a request about this number."""
        with self._lock:
            for planned in self._planned:
                if isinstance(planned.fault, kinds) and planned.left != 0 and planned.to in (None, to):
                    planned.left = None if planned.left is None else planned.left - 1
                    return planned.fault
        return None
