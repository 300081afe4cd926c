"""When two bodies are the same text: how providers are known to change one, and how they may have changed it."""

import re
import unicodedata
from typing import Final

_LOOK_ALIKES: Final = str.maketrans(
    dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u0060\u00b4", "'")
    | dict.fromkeys("\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb", '"')
    | dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-")
    | dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff\u00ad", "")
)
"""Characters that smart encoding replaces by what looks like them, so that a text fits GSM-7."""
_RECOGNIZABLE: Final = 20
"""Characters a body must have to be recognized inside a longer one."""
_LINK: Final = re.compile(r"https?://\S+", re.IGNORECASE)
_OPT_OUT: Final = re.compile(
    r"\s*(?:reply|text|txt|send) stop (?:to|2) (?:unsubscribe|opt[ -]?out|cancel|end|quit|stop)[.!]?$", re.IGNORECASE
)


def plain(body: str) -> str:
    """The body with one kind of space, quote and dash. Smart encoding replaces them; line ends and spaces change."""
    alike = unicodedata.normalize("NFKC", body.translate(_LOOK_ALIKES))
    return re.sub(r"\s+", " ", alike).strip()


def without_opt_out(body: str) -> str:
    """The body without an opt-out instruction at its end, as services append one."""
    return _OPT_OUT.sub("", plain(body))


def may_be_changed(listed: str, sent: str) -> bool:
    """Whether a listed body may be the sent one, changed. Both are plain.

    Redaction leaves nothing of it, services add words before or after it or cut it short, and link shortening writes
    other links. A body that is not on record may be anything.
    """
    if not listed or not sent:
        return True
    shorter, longer = sorted((listed, sent), key=len)
    if len(shorter) >= _RECOGNIZABLE and shorter in longer:
        return True
    return bool(_LINK.search(sent)) and _LINK.sub("", listed) == _LINK.sub("", sent)
