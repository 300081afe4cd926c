"""What a person may request about senders, as forms.

A sender that is a number is named by its id, because Prefect keeps parameters in plain text. The command line and SQL
take the number, too.
"""

from typing import Literal

from pydantic import Field

from smsretry.desk.actions.form import Id, NumberlessText, ProviderId, Request, SenderName
from smsretry.vocabulary import MessageClass


class WhichSenders(Request):
    """Which senders to list."""

    business_id: Id | None = Field(None, title="Business", description="Only those that send for this business.")
    troubled: bool = Field(False, title="In trouble", description="Only those that need somebody.")
    check: bool = Field(
        False, title="Ask the provider", description="Ask the provider whether each of them can send. Nothing is sent."
    )


class SenderOrder(Request):
    """A change of a sender. It is kept on record who ordered it, and why."""

    who: NumberlessText = Field(title="Who", description="Your name. It is kept.", min_length=1, max_length=200)
    because: NumberlessText = Field(title="Because", description="Why. It is kept.", min_length=1, max_length=500)


class AddSender(SenderOrder):
    """Give a business a sender of its own."""

    business_id: Id = Field(title="Business", description="Id of the business.")
    account: ProviderId = Field(title="Account", description="The provider's account that owns the sender.")
    sent_by: ProviderId = Field(
        title="Messaging service", description="Its id. A sender that is a number is added by command or SQL."
    )
    message_class: MessageClass | None = Field(
        None, title="Class", description="Only texts of this class. It outranks a sender for all texts."
    )
    segments_per_second: float | None = Field(
        None,
        title="Segments a second",
        description="What it sends; empty: no limit, or as it has it.",
        ge=0.01,
        le=1000,
    )
    segments_per_day: int | None = Field(
        None, title="Segments a day", description="What its carriers take; empty: likewise.", ge=1, le=2_147_483_647
    )
    replace: bool = Field(False, title="Replace", description="Take the place of a sender that is active.")
    unchecked: bool = Field(False, title="Unchecked", description="Do not ask the provider first whether it can send.")


class AddAnySender(AddSender):
    """Likewise, from the command line: the sender may be a number."""

    sent_by: str = Field(repr=False)


class ChangeSender(SenderOrder):
    """Give a sender another rate or cap, for all who share it."""

    sender: SenderName
    segments_per_second: float | None = Field(None, ge=0.01, le=1000)
    segments_per_day: int | None = Field(None, ge=1, le=2_147_483_647)
    unlimited: list[Literal["segments_per_second", "segments_per_day"]] = Field(default=[])


class PauseSender(SenderOrder):
    """Let a sender's texts wait."""

    sender: SenderName = Field(title="Sender", description="Its id, as sms-senders lists it, or the provider's.")


class ResumeSender(SenderOrder):
    """Let a sender send again: what was wrong with it is mended."""

    sender: SenderName = Field(title="Sender", description="Its id, as sms-senders lists it, or the provider's.")


class RemoveSender(SenderOrder):
    """Let a business's texts go out from the sender of the environment again."""

    business_id: Id = Field(title="Business", description="Id of the business.")
    message_class: MessageClass | None = Field(
        None, title="Class", description="The sender for this class; empty: the one for all texts."
    )
