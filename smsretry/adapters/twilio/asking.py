"""A question to Twilio, and a finding from its answer: what is wrong, or why it could not be asked."""

from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

from smsretry.adapters.answering import why
from smsretry.adapters.twilio.answers import outcome_of_answer
from smsretry.adapters.twilio.clients import Clients
from smsretry.retry.models import Finding
from smsretry.retry.outcome import NotSent, Outcome, Rejected

_DENIED: Final = (401, 403)
_TEST: Final = 20008
_LACKS: Final = 70051
"""Not in our table of errors, because no send was ever seen to meet it."""
_ADVICE: Final = {
    _TEST: "these are test credentials, with which no text goes out: set the live ones of the Twilio console",
    _LACKS: "the key lacks a permission: give it those of Messages (read, create), or take a standard key",
}
"""What to do about a code, where it is not the same for all. https://www.twilio.com/docs/api/errors/70051"""


class Asking:
    """Any thread may use it."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    def ask(self, subject: str, question: Callable[[], object], mend: str, *, optional: bool = False) -> Finding:
        """A finding from the answer: a string is what is wrong.

        Args:
            mend: what to do if Twilio refuses.
            optional: the credentials are known to work. A refusal then only says that they may not ask this, as it is
                with a standard or restricted key: https://www.twilio.com/docs/iam/api-keys
        """
        try:
            answer = question()
        except Exception as error:  # noqa: BLE001 - of the SDK or of `requests`: the bare answer says which
            return self._refused(subject, error, mend, optional=optional)
        if isinstance(answer, str):
            return Finding(subject=subject, ok=False, advice=answer)
        return Finding(subject=subject, ok=True)

    def _refused(self, subject: str, error: Exception, mend: str, *, optional: bool) -> Finding:
        answer = self._clients.http.answer()
        if answer is None:
            return Finding(subject=subject, ok=False, advice=_silence(error))
        outcome, status = outcome_of_answer(answer.http_status, answer.body), answer.http_status
        reason = _reason(outcome, status)
        if optional and status in _DENIED:
            advice = f"could not be asked ({reason}): these credentials may send, and may not read this"
            return Finding(subject=subject, ok=True, advice=advice)
        if isinstance(outcome, NotSent):
            advice = outcome.why
        elif status == 429 or status >= 500:
            advice = f"Twilio could not answer ({reason}): see status.twilio.com, and ask again"
        elif isinstance(outcome, Rejected):
            advice = f"refused ({reason}): {_ADVICE.get(outcome.refusal.code or 0, mend)}"
        else:
            host = self._clients.http.host
            advice = f"{host} answers {reason}, and not as Twilio does: check TWILIO_BASE_URL and HTTPS_PROXY"
        return Finding(subject=subject, ok=False, advice=advice)


def _reason(outcome: Outcome, status: int) -> str:
    match outcome:
        case Rejected(refusal) if refusal.code == _LACKS:
            return f"Twilio {_LACKS}: Authorization Failed"
        case Rejected(refusal):
            return refusal.text
        case _:
            return f"HTTP {status}"


def _silence(error: Exception) -> str:
    request = getattr(error, "request", None)
    host = urlsplit(request.url).netloc if request else "Twilio"
    return f"{host} does not answer ({why(error)}): check that it can be reached from here"
