"""What a person may request about US states, as forms: let no marketing text go there, or let them go again."""

from typing import Annotated, Final

from pydantic import AfterValidator, Field, WithJsonSchema

from smsretry.desk.actions.form import NumberlessText, Request
from smsretry.quiet_hours.rules import US_STATES

_TRY: Final = "Change nothing; say how many of the texts that wait it concerns."


def _us_state(text: str) -> str:
    if (state := text.strip().upper()) not in US_STATES:
        raise ValueError("must be two letters of a US state, such as LA")
    return state


UsState = Annotated[
    str, AfterValidator(_us_state), WithJsonSchema({"type": "string", "enum": sorted(US_STATES)}, mode="validation")
]


class StateOrder(Request):
    """An order about a state."""

    state: UsState = Field(title="State", description="The US state or territory.")
    dry_run: bool = Field(False, title="Only try", description=_TRY)


class StopState(StateOrder):
    """Let no marketing text go to a US state, from the next run on, until the stop is lifted."""

    because: NumberlessText = Field(
        title="Because",
        description="The declared emergency. Kept, and shown with each text.",
        min_length=1,
        max_length=300,
    )


class LiftState(StateOrder):
    """Let marketing texts go to a US state again."""
