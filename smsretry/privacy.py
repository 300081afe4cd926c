"""What is shown instead of phone numbers and bodies: last digits, and unforeseen errors without either."""

import re
import traceback


def describe_unforeseen(error: Exception, *, private: tuple[str | None, ...]) -> str:
    """The kind, place and message of an unforeseen error. A message that may quote the customer is withheld.

    Args:
        private: what must not be quoted: the text's body and number.
    """
    place = f"Unforeseen {type(error).__name__}"
    # An error that was never raised has no traceback.
    if frames := traceback.extract_tb(error.__traceback__):
        file = frames[-1].filename.rpartition("/")[2]
        place += f" at {file}:{frames[-1].lineno}"
    try:
        message = str(error)
    except Exception:  # noqa: BLE001 - a library's errors may be unable to show themselves
        return place
    if any(_quotes(message, text) for text in private if text):
        return f"{place} (its message is withheld: it quotes the customer)"
    # Another customer's number must not show either.
    message = re.sub(r"\+?\d[\d\s().-]{6,}\d", "…", message)
    return f"{place}: {message}"[:500]


def _quotes(message: str, private: str) -> bool:
    """Whether the message has six letters or digits of the private text in a row, whatever stands between them."""
    message = _letters(message)
    private = _letters(private)
    length = min(6, len(private))
    starts = range(len(private) - length + 1)
    return length > 0 and any(
        private[start : start + length] in message for start in starts
    )


def _letters(text: str) -> str:
    return re.sub(r"[\W_]", "", text).lower()


def masked(phone: str | None) -> str:
    """A number's last four digits, as `smsretry.masked` in SQL has them. A short or missing number shows none."""
    if phone and len(phone) >= 8:
        return f"…{phone[-4:]}"
    return "…"


def masked_sender(sent_by: str) -> str:
    """A sender to show: a number as its last digits, a messaging service as it is."""
    return masked(sent_by) if sent_by.startswith("+") else sent_by
