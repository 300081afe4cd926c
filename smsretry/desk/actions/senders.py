"""What a person may ask and order about senders.

A sender that is a number is named by its id in Prefect, which keeps parameters in plain text. The command line and SQL
take the number, too.
"""

from typing import Annotated, Literal

from pydantic import Field

from smsretry.desk.actions.form import (
    POSITIONAL,
    BusinessId,
    ProviderId,
    Question,
    SenderName,
    Signed,
)
from smsretry.vocabulary import MessageClass


class ListSenders(Question):
    """List who texts for whom, what waits for each sender, and which senders need attention."""

    COMMAND = "senders list"
    EXAMPLES = ("senders list",)
    FUNCTION = "sms_senders"
    business_id: BusinessId | None = Field(
        None, description="Only the senders of this business."
    )


class AddSender(Signed):
    """Give a business a sender of its own, once the provider says that it can send. Others may share it."""

    COMMAND = "senders add"
    EXAMPLES = ("senders add $SERVICE --business $ID --account $AC --because Bought",)
    FUNCTION = "add_sms_sender"
    DID = "added"
    sent_by: Annotated[SenderName, POSITIONAL] = Field(
        title="Messaging service",
        description="Its id. A sender that is a number is added by command or SQL.",
    )
    business_id: BusinessId = Field(description="Id of the business.")
    account: ProviderId = Field(
        description="The provider's account that owns the sender."
    )
    message_class: MessageClass | None = Field(
        None,
        description="Only texts of this class. It outranks a sender for all texts.",
    )
    segments_per_second: float | None = Field(
        None,
        description="Segments a second that it sends. Empty: what it has, or no limit.",
        ge=0.01,
        le=1000,
    )
    segments_per_day: int | None = Field(
        None,
        description="Segments a day that its carriers take. Empty: likewise.",
        ge=1,
        le=2_147_483_647,
    )
    replace: bool = Field(
        False, description="Take the place of a sender that is active."
    )


class ChangeSender(Signed):
    """Give a sender another rate or cap, or let its texts wait, visibly, for all who share it."""

    COMMAND = "senders change"
    EXAMPLES = (
        "senders change $SERVICE --rate 4.5 --because 'A better score'",
        "senders change - --paused yes --because 'Suspended' < number.txt",
        "senders change $SERVICE --paused no --because 'Mended'",
    )
    FUNCTION = "change_sms_sender"
    DID = "changed"
    ONE_OF = ("segments_per_second", "segments_per_day", "paused")
    WANTED = "what changes:"
    sender: Annotated[SenderName, POSITIONAL] = Field(
        description="Its id, or the provider's.", serialization_alias="named"
    )
    paused: Literal["yes", "no"] | None = Field(
        None,
        description="yes: its texts wait. no: what was wrong is mended, and what waited for that is due at once.",
    )
    segments_per_second: float | None = Field(
        None,
        description="Segments a second that it sends; 0: no limit any more.",
        ge=0,
        le=1000,
    )
    segments_per_day: int | None = Field(
        None,
        description="Segments a day that its carriers take; 0: likewise.",
        ge=0,
        le=2_147_483_647,
    )


class RemoveSender(Signed):
    """Let a business's texts go out from the default sender again."""

    COMMAND = "senders remove"
    EXAMPLES = ("senders remove --business $BUSINESS --because 'It shares ours'",)
    FUNCTION = "remove_sms_sender"
    DID = "removed"
    business_id: BusinessId = Field(description="Id of the business.")
    message_class: MessageClass | None = Field(
        None, description="The sender for this class; empty: the one for all texts."
    )
