"""A safeguard of the SQL, broken by one line."""

import re
from dataclasses import dataclass

from tests.support.safeguards import Safeguard


@dataclass(frozen=True, slots=True)
class Break:
    """What is replaced in a function, once."""

    function: str
    text: str
    instead: str = ""
    spare: str = ""
    """Why no test has to notice it: what else does the same."""

    @property
    def safeguard(self) -> Safeguard:
        """It, to be taken away by `tests.support.safeguards.without`."""
        return Safeguard(replaces=self.function, edits=((re.escape(self.text), self.instead.replace("\\", r"\\")),))
