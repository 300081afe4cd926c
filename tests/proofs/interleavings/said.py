"""What somebody has said about texts, through whatever door it came, and what must hold because of it."""

from dataclasses import dataclass, replace
from typing import Final, Literal

Word = Literal["yes", "stop", "unclear"]


@dataclass(frozen=True)
class Said:
    """What decides whether somebody may be texted."""

    word: Word = "yes"
    """What they said last. Unclear: it came after a stop, and may have lifted it or not."""
    is_unread: bool = False
    """Whether they wrote what may mean stop, and neither a person, a STOP nor a START has answered it."""

    def stops(self) -> "Said":
        """A STOP, or what counts as one: it answers words, too."""
        return Said("stop")

    def agrees(self) -> "Said":
        """Consent that answers no words: a YES, or what the application writes."""
        return replace(self, word="unclear" if self.word == "stop" else self.word)

    def starts(self) -> "Said":
        """Consent that answers words: a START, or a person who has read them."""
        return replace(self.agrees(), is_unread=False)

    def writes_unclearly(self) -> "Said":
        """Words that may mean stop. Whoever has said stop need not be read."""
        return replace(self, is_unread=self.word != "stop")

    def joined(self, other: "Said") -> "Said":
        """What counts for whoever had one number, and now has the other."""
        if "stop" in (self.word, other.word):
            return Said("stop")
        word = self.word if other.word == "yes" else other.word
        return Said(word, is_unread=self.is_unread or other.is_unread)

    def forbids(self, message_class: str | None) -> str | None:
        """Why a text of that class may not go out."""
        if self.word == "stop":
            return "after the customer had said stop"
        if self.is_unread and message_class != "transactional":
            return "while nobody had read what the customer wrote"
        return None


NOTHING_SAID: Final = Said()
"""But a yes, as each text's customer has."""
