"""What counted as evidence before it proved what it proves: each mending taken away, for `--evidence`."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from unittest.mock import patch

from smsretry.adapters.twilio import lists
from smsretry.retry import evidence
from smsretry.retry.evidence import Sent, plain
from smsretry.retry.models import Sighting

_words, _time = evidence._words, evidence._time
_entries, _sighting = lists._entries, lists._sighting


def _begins_or_ends_alike(sighting: Sighting, sent: Sent) -> str:
    """A body was ours if it began or ended as ours did."""
    told, ours = plain(sighting.body), plain(sent.body)
    alike = bool(ours) and (told.startswith(ours) or told.endswith(ours))
    return "ours" if alike else _words(sighting, sent)


def _nobody_elses(sighting: Sighting, sent: Sent) -> str:
    """What else was sent to the number was not asked."""
    return _words(sighting, Sent(sent.phone, sent.body, sent.begun_at, sent.in_doubt_since))


def _by_the_clock(sighting: Sighting, sent: Sent, clock_ahead: timedelta) -> str:
    """The clock was believed."""
    time = _time(sighting, sent, clock_ahead)
    return "never" if time == "unusual" else time


def _as_if_it_were_whole(page: Any) -> Iterator[Any]:
    """What was not read was not there."""
    return (entry for entry in _entries(page) if not isinstance(entry, str))


def _dated(message: Any) -> Sighting:
    """A date was taken for granted."""
    if message.date_created is None:
        raise TypeError("'<' not supported between instances of 'NoneType' and 'datetime'")
    return _sighting(message)


@dataclass(frozen=True, slots=True)
class Unproved:
    """One mending that can be taken away."""

    sees: str
    """What the checks find then."""
    owner: object
    name: str
    instead: Any

    @contextmanager
    def taken_away(self) -> Iterator[None]:
        """The package without it; afterwards it is as it was."""
        with patch.object(self.owner, self.name, self.instead):
            yield


EVIDENCE: Final = {
    "whole words": Unproved("lost", evidence, "_words", _begins_or_ends_alike),
    "others' words": Unproved("bugs", evidence, "_words", _nobody_elses),
    "any clock": Unproved("doubled", evidence, "_time", _by_the_clock),
    "whole lists": Unproved("doubled", lists, "_entries", _as_if_it_were_whole),
    "undated entries": Unproved("bugs", lists, "_sighting", _dated),
}
"""What `--evidence` can be run without."""
