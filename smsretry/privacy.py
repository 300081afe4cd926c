"""What is shown instead of phone numbers and bodies: last digits, and unforeseen errors without either."""

import re
import traceback


def describe_unforeseen(error: Exception, *, private: tuple[str | None, ...]) -> str:
    """The kind, place and message of an unforeseen error. A message that may quote the customer is withheld.

    Args:
        private: what must not be quoted: the text's body and number.
    """
    frame = traceback.extract_tb(error.__traceback__)[-1]
    place = f"Unforeseen {type(error).__name__} at {frame.filename.rpartition('/')[2]}:{frame.lineno}"
    try:
        message = str(error)
    except Exception:  # noqa: BLE001 - it is somebody else's code
        return place
    if any(_quotes(message, text) for text in private if text):
        return f"{place} (its message is withheld: it quotes the customer)"
    numberless = re.sub(
        r"\+?\d[\d\s().-]{6,}\d", "…", message
    )  # nor anybody else's number
    return f"{place}: {numberless}"[:500]


def _quotes(message: str, private: str) -> bool:
    """Whether six letters or digits in a row are the same, whatever was escaped, cut or put between them."""
    message_letters, private_letters = (
        re.sub(r"[\W_]", "", text).lower() for text in (message, private)
    )
    run = min(6, len(private_letters))
    return run > 0 and any(
        private_letters[start : start + run] in message_letters
        for start in range(len(private_letters) - run + 1)
    )


def masked(phone: str | None) -> str:
    """A number's last four digits, like `smsretry.masked`; none of a short or missing one."""
    return f"…{phone[-4:]}" if phone and len(phone) >= 8 else "…"


def masked_sender(sent_by: str) -> str:
    """A sender to show: a number as its last digits, a messaging service as it is."""
    return masked(sent_by) if sent_by.startswith("+") else sent_by
