"""What a person may request from the desk, as forms: Prefect's UI draws them, the command line fills them in."""

from typing import Any, ClassVar, Literal, Self

from pydantic import Field, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema

from smsretry.desk.actions.form import Id, LastDigits, MessageId, Moment, NumberlessText, Request
from smsretry.vocabulary import EndedState, LiveState, Reason, WhyCode


class WhichText(Request):
    """Which text, in exactly one way."""

    id: Id | None = Field(
        None, title="Id", description="Any id: of a text's row, a scheduled send, a send log, a customer or an attempt."
    )
    customer_id: Id | None = Field(None, title="Customer", description="Id of the customer: all its texts.")
    send_log_id: Id | None = Field(None, title="Send log", description="Id of the application's send log.")
    retry_id: Id | None = Field(None, title="Row", description="Id of the row in sms_retry_queue.")
    business_id: Id | None = Field(None, title="Business", description="Narrows the others; needed with last digits.")
    last_digits: LastDigits | None = Field(
        None, title="Last digits", description="The last 3 to 6 digits of the number, with its business."
    )
    limit: int = Field(10, title="At most", description="How many texts to show, the newest first.", ge=1, le=50)

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        given = [self.id, self.customer_id, self.send_log_id, self.retry_id, self.last_digits]
        if sum(value is not None for value in given) != 1:
            raise ValueError("say which text in one way: id, customer_id, send_log_id, retry_id, or last_digits")
        if self.last_digits and not self.business_id:
            raise ValueError("last_digits need business_id: digits alone find other businesses' customers, too")
        return self


class Order(Request):
    """A change of many texts. Nothing is changed unless somebody says who and why."""

    VERB: ClassVar[tuple[str, str]]
    """What it does and what it did, such as requeue and requeued."""

    dry_run: bool = Field(True, title="Only try", description="Change nothing; say what would be changed.")
    who: NumberlessText | None = Field(
        None,
        title="Who",
        description="Your name; needed unless it is only tried. Kept with each text.",
        max_length=200,
    )
    because: NumberlessText | None = Field(
        None,
        title="Because",
        description="Why; needed unless it is only tried. Kept with each text.",
        max_length=500,
    )

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Lets the form ask for who and why as soon as it is not only tried."""
        reference = super().__get_pydantic_json_schema__(core, handler)
        handler.resolve_ref_schema(reference).update(
            {
                "if": {"properties": {"dry_run": {"const": False}}, "required": ["dry_run"]},
                "then": {"required": ["who", "because"]},
            }
        )
        return reference

    @model_validator(mode="after")
    def _signed(self) -> Self:
        if not self.dry_run and not ((self.who or "").strip() and (self.because or "").strip()):
            raise ValueError("who and because must be given unless it is only tried: they are kept with each text")
        return self

    @property
    def done(self) -> str:
        """What it did, or would do."""
        do, did = self.VERB
        return f"would {do}" if self.dry_run else did


class WhichTexts(Order):
    """Which texts: those that match every field that is given. At least one must be."""

    retry_ids: list[Id] | None = Field(None, title="Rows", description="Ids of rows.", max_length=500)
    business_id: Id | None = Field(None, title="Business", description="Id of the business.")
    customer_id: Id | None = Field(None, title="Customer", description="Id of the customer.")
    code: int | None = Field(
        None, title="Code", description="The provider's error code, such as 30003.", ge=1, le=99999
    )
    reason: Reason | None = Field(None, title="Reason", description="The category of why it waited.")
    why_code: WhyCode | None = Field(None, title="Why", description="Why it ended, or waits, in a word.")
    containing: NumberlessText | None = Field(
        None,
        title="Error containing",
        description="Words of its error, or of why it waits.",
        max_length=100,
    )
    since: Moment | None = Field(None, title="Changed since", description="Last changed at or after this.")
    until: Moment | None = Field(None, title="Changed before", description="Last changed before this.")
    limit: int = Field(1000, title="At most", description="How many rows at once, the newest first.", ge=1, le=10_000)

    @model_validator(mode="after")
    def _complete(self) -> Self:
        which = WhichTexts.model_fields.keys() - Order.model_fields.keys() - {"limit"}
        if not any(getattr(self, name) for name in which):
            raise ValueError(f"say which texts: by {', '.join(sorted(which))}")
        return self


class Requeue(WhichTexts):
    """Put texts that failed back into the queue, due at once. Every check is made again."""

    VERB = ("requeue", "requeued")
    states: list[EndedState] = Field(
        default=["failed"], title="States", description="Failed ones, or cancelled ones as well.", min_length=1
    )
    more_attempts: int = Field(3, title="More attempts", description="Further sends that each may have.", ge=1, le=100)


class Cancel(WhichTexts):
    """End texts that wait, and scheduled sends. What the customer may have already is left alone."""

    VERB = ("cancel", "cancelled")
    states: list[LiveState] | None = Field(None, title="States", description="Only those in these states.")


class LookAgain(WhichTexts):
    """Have texts looked at now whose trouble is fixed. Those that wait for their hour are left alone."""

    VERB = ("look again now at", "will look again now at")


class AfterRestore(Order):
    """Look for what may have gone out since the backup that the database was restored from, before it is sent."""

    VERB = ("look for", "will look for")
    backup_of: Moment = Field(title="Backup of", description="When the backup was taken.")


class Resolve(Request):
    """Say what became of a text in doubt."""

    retry_id: Id = Field(title="Row", description="Id of the row.")
    went_out_as: MessageId | None = Field(
        None, title="It went out as", description="The provider's id of the message that was this text."
    )
    send_again: bool = Field(False, title="Send it again", description="It did not go out.")
    who: NumberlessText = Field(title="Who", description="Your name. Kept with the text.", min_length=1, max_length=200)
    because: NumberlessText = Field(
        title="Because", description="How you know. It is kept.", min_length=1, max_length=500
    )

    @model_validator(mode="after")
    def _one_answer(self) -> Self:
        if self.send_again is (self.went_out_as is not None):
            raise ValueError("answer in one way: went_out_as, or send_again")
        return self


class RecordConsent(Request):
    """What a customer said about texts, by telephone, letter or text. It is for their number at their business."""

    customer_id: Id = Field(title="Customer", description="Id of the customer.")
    consent: Literal["opted_in", "opted_out", "unchanged"] = Field(
        title="They said",
        description="opted_in: yes to texts. opted_out: stop. unchanged: their text that may mean stop means neither.",
    )
    source: NumberlessText = Field(
        title="How",
        description="How they said it, in a word that the text's story shows: telephone, letter, form.",
        min_length=1,
        max_length=200,
    )
    who: NumberlessText = Field(title="Who", description="Your name. It is kept.", min_length=1, max_length=200)
    because: NumberlessText = Field(
        title="Because", description="What they said, and when. It is kept.", min_length=1, max_length=500
    )


class Preview(Request):
    """What goes out in the next hours."""

    hours: int = Field(24, title="Hours", description="How far ahead to look.", ge=1, le=168)
    business_id: Id | None = Field(None, title="Business", description="Only this one's texts.")


class Prune(Request):
    """Delete history that is no longer of use."""

    keep_days: int = Field(90, title="Keep days", description="Days of finished texts to keep.", ge=7, le=3650)
    dry_run: bool = Field(False, title="Only try", description="Delete nothing; say what would be deleted.")
