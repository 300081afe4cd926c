"""Before a text is sent again that a carrier lost: has it arrived after all? Decides, and does nothing.

A carrier may call a message lost and deliver it later. No callback may have said so, and nobody may have looked.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from smsretry.retry.decision import Arrived, Defer
from smsretry.retry.delivery import FAILURES, FINAL, OTHER_LOOK, Report, Word

ASK_AGAIN: Final = timedelta(minutes=5)
"""When a text is due again about whose lost message the provider could not be asked."""
RECORD_AGAIN: Final = timedelta(seconds=30)
"""When a text is due again whose arrival could not be recorded."""


def before_sending_again(said: Mapping[str, Word], *, at: datetime) -> Arrived | Defer | None:
    """What follows from the provider's word on each lost message of a text. None: it is sent again."""
    for sid, word in said.items():
        if isinstance(word, Report) and word.status in FINAL:
            why = f"Arrived after all, as {sid}; that could not be recorded yet"
            return Arrived(sid, word.status, Defer(at + RECORD_AGAIN, None, why, "delivery_open", ages=True))
    for sid, word in said.items():
        if word is None:
            why = f"It was lost as {sid}, and the provider could not be asked whether it arrived after all"
            return Defer(at + ASK_AGAIN, None, why, "delivery_open", ages=True)
        if isinstance(word, Report) and word.status not in FAILURES:
            why = f"It was lost as {sid}, and now the provider says {word.status}: it may still arrive"
            return Defer(at + OTHER_LOOK, None, why, "delivery_open", ages=True)
    return None


def asked_too_long(at: datetime) -> Defer:
    """The provider took so long to answer that what allowed the send may be so no more: it is asked anew later."""
    why = "The provider took very long to say what became of an earlier message of this text, so it is asked once more"
    return Defer(at + ASK_AGAIN, None, why, "delivery_open", ages=True)
