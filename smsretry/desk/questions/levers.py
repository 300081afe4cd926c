"""What a person can do about a text."""

from collections.abc import Iterator
from typing import Any, Final

from pydantic import Field

from smsretry.desk.questions.prediction import Prediction
from smsretry.desk.questions.records import TextRecord
from smsretry.retry.models import Value

ACTIONS: Final = {
    "requeue_failed_sms": "send it again, with every check (requeue)",
    "cancel_sms_retries": "end it, if it is no longer wanted (cancel)",
    "resolve_sms_doubt": "look in the provider's log for it, then say whether it went out (resolve)",
}
"""What a person can do: each call in `TextRecord.can`, in words."""
_READ_INBOUND: Final = (
    "read {sid} in the provider's log: the number wrote what may mean stop, and is opted out. If it does, say so with "
    "smsretry consent - --opt-out --source 'text'; if not, with "
    "smsretry consent - --opt-in --source 'text' --business {business}"
)
_ASK_PROVIDER: Final = (
    "ask the provider what is wrong with its sender (smsretry senders check {name}); once it is mended, let it send "
    "again (smsretry senders resume {name} --because '…')"
)
_OF_SENDER: Final[dict[str, str]] = {
    "sender_paused": "let its sender send again, once that is mended (smsretry senders resume {name} --because '…')",
    "no_credentials": "give the runner credentials for account {account}; it is looked at again within 15 minutes, or "
    "at once after smsretry senders resume {name} --because '…'",
    "day_spent": "raise its sender's cap, if the carriers take more in a day (smsretry senders change {name} --cap N "
    "--because '…')",
    "account_refused": _ASK_PROVIDER,
    "sending_stopped": _ASK_PROVIDER,
}
"""What a person can do about the business's own sender, by the few codes that are about it."""


class CodeMeaning(Value):
    """What a provider's error code means, in plain words."""

    meaning: str
    to_do: str
    link: str


class Lever(Value):
    """What a person can do about a text's trouble."""

    words: str
    """What to do, and how by command."""
    form: str | None = None
    """The deployment whose form does it; None: it has none."""
    ask: dict[str, Any] = Field(default_factory=dict)
    """What the form is filled in with. Who and why are left to the person."""


def levers(text: TextRecord, prediction: Prediction | None, code: CodeMeaning | None) -> Iterator[Lever]:
    """What a person can do, the first of it first.

    Args:
        prediction: what its next claim will come to, if it waits.
        code: what the provider's code means, if its trouble has one.
    """
    row = str(text.retry_id)
    for call in text.can:
        ask = {"retry_id": row} if call == "resolve_sms_doubt" else {"retry_ids": [row], "dry_run": False}
        yield Lever(words=ACTIONS[call], form=call.replace("_", "-"), ask=ask)
    if text.stop_sid:
        yield Lever(words=_READ_INBOUND.format(sid=text.stop_sid, business=text.business_id))
    if words := _about_sender(text, prediction):
        yield Lever(words=words, form="resume-sms-sender", ask={"sender": text.sender_name})
    if code:
        yield Lever(words=f"{code.to_do}. {code.meaning}: {code.link}")


def _about_sender(text: TextRecord, prediction: Prediction | None) -> str | None:
    """What a person can do about the business's own sender; None: it has none, or the text waits for something else."""
    stopped = prediction is not None and prediction.result == "is stopped"
    waits = text.state in ("due", "waiting", "held")
    lever = (
        _OF_SENDER.get("sending_stopped" if stopped else text.why_code or "") if waits and text.sender_name else None
    )
    return lever.format(name=text.sender_name, account=text.account) if lever else None
