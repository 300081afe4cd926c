"""What a person may ask and order about texts, customers and the database."""

import re
from typing import Annotated, ClassVar, Final, Literal, Self

from pydantic import Field, model_validator

from smsretry.desk.actions.form import (
    LAST_DIGITS,
    POSITIONAL,
    UUID_PATTERN,
    AnyId,
    BusinessId,
    Form,
    Id,
    IdOrAll,
    IdOrNumber,
    MessageId,
    Moment,
    Signed,
    UsState,
    Words,
    one_of_these,
)
from smsretry.vocabulary import Mark, TextState, WhyCode


class AskStatus(Form):
    """What needs attention, what is due, waits and was sent, what failed, and the last runs."""

    COMMAND, EXAMPLES = "status", ("status", "status --json | jq .queue")
    FUNCTION, ASKS = "sms_status", True


class ReadWords(Form):
    """List what customers wrote that may mean stop, until somebody has said what it means; the oldest first."""

    COMMAND, EXAMPLES = "unread", ("unread",)
    FUNCTION, ASKS = "unread_sms_words", True


class ExplainText(Form):
    """What happened to a text, why, what comes next, and what you can do; or to all texts of a customer.

    An id is found whichever kind it is of. Where the queue has no text, it tells what the application sent itself.
    """

    COMMAND, EXAMPLES = "explain", ("explain $ID", "explain - < number.txt")
    FUNCTION, ASKS = "explain_sms", True
    id: Annotated[AnyId, POSITIONAL] = Field(
        description="Any id: of a text's row, a scheduled send, a send log, an attempt, or a customer. Or the SID of a "
        "message, or the last four digits of a number.",
        repr=False,
    )

    def values(self) -> dict[str, object]:
        """The field by which it is found, told by its shape."""
        found_by = str(self.id)
        if found_by.startswith("+"):
            return {"phone": found_by}
        if len(found_by) == LAST_DIGITS:
            return {"last_digits": found_by}
        is_id = re.fullmatch(UUID_PATTERN, found_by)
        return {"id" if is_id else "sid": found_by}


class Preview(Form):
    """What goes out in the next hours, what does not, and why. Nothing is claimed or written."""

    COMMAND, EXAMPLES = "preview", ("preview --hours 12",)
    FUNCTION, ASKS = "preview_sms_retries", True
    hours: int = Field(24, description="How far ahead to look.", ge=1, le=168)


class TextFilter(Form):
    """Which texts: those that match every field that is given. At least one must be."""

    LOOSE: ClassVar[tuple[str, ...]] = ("limit",)
    """Fields that say not enough: one of the others must be given."""

    retry_ids: list[Id] | None = Field(None, description="Ids of rows.", max_length=500)
    business_id: BusinessId | None = Field(None, description="Id of the business.")
    customer_id: Id | None = Field(None, description="Id of the customer.")
    code: int | None = Field(
        None, description="The provider's error code, as 30003.", ge=1, le=99999
    )
    why_code: WhyCode | None = Field(
        None, description="Why it waits or ended, in a word."
    )
    states: list[TextState] | None = Field(
        None, description="Only those in these states."
    )
    since: Moment | None = Field(None, description="Last changed then or later.")
    until: Moment | None = Field(None, description="Last changed then or earlier.")
    limit: int = Field(
        1000, description="How many at most, the newest first.", ge=1, le=10_000
    )

    @model_validator(mode="after")
    def _says_which(self) -> Self:
        names = [name for name in TextFilter.model_fields if name not in self.LOOSE]
        if all(getattr(self, name) is None for name in names):
            raise ValueError(f"say which texts: by {one_of_these(names)}")
        return self

    def values(self) -> dict[str, object]:
        """The filter is one argument, so that a field more is nothing but that."""
        fields = self.model_dump(mode="json", exclude_none=True)
        criteria = {
            name: fields.pop(name) for name in TextFilter.model_fields if name in fields
        }
        return {"row_limit": criteria.pop("limit"), "which": criteria, **fields}


class ListTexts(TextFilter):
    """List texts that match everything that is given."""

    COMMAND, EXAMPLES = "texts list", ("texts list --state held --business $BUSINESS",)
    FUNCTION, ASKS = "list_sms", True
    limit: int = Field(
        100, description="How many at most, the newest first.", ge=1, le=500
    )


DRY_RUN: Final[bool] = Field(
    True, title="Only try", description="Change nothing; say what would be changed."
)


class Order(Form):
    """A change that is only tried at first. Nothing is changed unless somebody says who and why."""

    dry_run: bool = DRY_RUN
    who: Words | None = Field(None, description="Your name. It is kept.")
    because: Words | None = Field(None, description="Why. It is kept.")

    @model_validator(mode="after")
    def _is_signed(self) -> Self:
        missing = next(
            (name for name in ("who", "because") if not getattr(self, name)), None
        )
        if missing and not self.dry_run:
            raise ValueError(f"{{{missing}}} must be given: it is kept with each text")
        return self


class ChangeTexts(TextFilter, Order):
    """A change of the texts that match."""

    FUNCTION = "change_sms_texts"
    LOOSE = ("limit", "states")
    WHAT: ClassVar[str]
    """What its function calls it."""

    def values(self) -> dict[str, object]:
        """The fields, and the deed."""
        return {"what": self.WHAT, **super().values()}


class Requeue(ChangeTexts):
    """Put texts that failed back into the queue, due at once; cancelled ones, if their state is given."""

    COMMAND = "texts requeue"
    EXAMPLES = (
        "texts requeue --code 30003 --since 2026-11-24",
        "texts requeue --code 30003 --yes --because 'Mended'",
    )
    WHAT, DOES = "requeue", ("requeue", "requeued")


class Cancel(ChangeTexts):
    """End texts that wait, and scheduled sends. What the customer may have already is left alone."""

    COMMAND, EXAMPLES = (
        "texts cancel",
        ("texts cancel --row $ROW --yes --because 'Moved away'",),
    )
    WHAT, DOES = "cancel", ("cancel", "cancelled")


class LookAgain(ChangeTexts):
    """Have texts looked at now that wait for something which is mended. Every check is made again."""

    COMMAND, EXAMPLES = "texts look-again", ("texts look-again --why no_credentials",)
    WHAT, DOES = "look", ("look again now at", "will look again now at")


class AfterRestore(Order):
    """Report a restore that no run can notice: texts are looked for at the provider before they are sent.

    That holds for every text from before the restore, scheduled sends too, whenever its time comes.
    """

    COMMAND, EXAMPLES = "after-restore", ("after-restore --backup-of 2026-11-24T03:00",)
    FUNCTION, DOES = (
        "after_sms_restore",
        ("look for", "recorded the restore, and will look for"),
    )
    backup_of: Moment = Field(
        description="When the backup was taken.", serialization_alias="since"
    )


class Resolve(Signed):
    """Say what became of a text in doubt."""

    COMMAND = "texts resolve"
    EXAMPLES = ("texts resolve --row $ROW --went-out-as nothing --because 'I looked'",)
    FUNCTION, DOES = "resolve_sms_doubt", ("", "resolved row {retry_id}")
    retry_id: Id = Field(description="Id of the row.")
    went_out_as: MessageId = Field(
        description="The provider's id of the message that was this text; nothing: it did not go out, and may again."
    )
    because: Words = Field(description="How you know. It is kept.")

    def values(self) -> dict[str, object]:
        """Nothing has no id."""
        values = super().values()
        sid = values.pop("went_out_as")
        return {**values, "twilio_sid": None if sid == "nothing" else sid}


class RecordConsent(Signed):
    """Record that a person said yes or stop, by telephone or letter. A stop ends the texts that wait for them.

    With a number, which only a terminal takes, it counts at all businesses.
    """

    COMMAND = "consent"
    EXAMPLES = (
        "consent - --said opted_out --source call --because Rang < n.txt",
        "consent $CUSTOMER --said opted_in --source form --because Signed",
    )
    FUNCTION, DOES = "record_sms_consent", ("", "recorded {consent}")
    customer_id: Annotated[IdOrNumber, POSITIONAL] = Field(
        description="Id of the customer: for their number, at their business.",
        repr=False,
    )
    consent: Literal["opted_in", "opted_out", "unchanged"] = Field(
        title="They said",
        description="opted_in: yes to texts. opted_out: stop. unchanged: what they wrote means neither.",
    )
    source: Words = Field(
        title="How",
        description="How they said it, in a word that the text's story shows: telephone, letter, form.",
    )
    because: Words = Field(description="What they said, and when. It is kept.")

    @model_validator(mode="after")
    def _says_yes_to_one_business(self) -> Self:
        is_number = str(self.customer_id).startswith("+")
        if self.consent == "opted_in" and is_number:
            raise ValueError(
                "a yes is given to one business: {customer_id} must be the customer's id there"
            )
        return self


class ImportOptOuts(Order):
    """Import opt-outs from another system, also of numbers that no customer has yet.

    FILE is a CSV of two columns, with a header or without: the number with its country code, and when it opted out, in
    ISO 8601 with a zone. A number whose customer opted in later is left alone. Give the file again after a mistake or a
    broken connection: what is recorded already stays as it is.
    """

    FUNCTION, DOES = "import_sms_opt_outs", ("record", "recorded")
    business_id: IdOrAll = Field(
        description="Whose opt-outs they are; all: they are from every business."
    )

    def values(self) -> dict[str, object]:
        """All has no id."""
        every = self.business_id == "all"
        return {
            **super().values(),
            "business_id": None if every else self.business_id,
            "all_businesses": every,
        }


class EndDeactivated(Form):
    """End the consent of numbers that US carriers have deactivated: they may be somebody else's by now.

    The provider has a list of each day. What is recorded already stays as it is, and so does a later opt-in.
    """

    COMMAND, EXAMPLES = "deactivated", ("deactivated", "deactivated --days 30 --yes")
    FUNCTION, DOES = "end_deactivated_sms_consent", ("opt out", "opted out")
    days: int = Field(
        7,
        description="How many days' lists to read, up to yesterday's.",
        ge=1,
        le=90,
        exclude=True,
    )
    dry_run: bool = DRY_RUN


class StopTexts(Signed):
    """Let no marketing text go to a US state, or no text of a business at all, from the next run on; or lift the stop.

    The texts are held. Deliveries and what customers write are recorded as ever.
    """

    COMMAND = "stop"
    EXAMPLES = (
        "stop LA --because 'A hurricane'",
        "stop --business $BUSINESS --because 'It has not paid'",
        "stop LA --lift --because 'It is over'",
    )
    FUNCTION = "set_sms_stop"
    state: Annotated[UsState | None, POSITIONAL] = Field(
        None,
        description="Two letters of a US state or territory.",
        serialization_alias="subject",
    )
    business_id: BusinessId | None = Field(
        None, description="Id of the business.", serialization_alias="subject"
    )
    because: Words = Field(
        description="Why, such as the declared emergency. Kept, and shown with each text.",
        serialization_alias="why",
    )
    lift: bool = Field(False, description="Let the texts go again.")

    @property
    def did(self) -> str:
        what = f"marketing texts to {self.state}" if self.state else "the business"
        return f"{'lifted the stop of' if self.lift else 'stopped'} {what}"

    def values(self) -> dict[str, object]:
        """What may be stopped is a kind and a subject."""
        values = self.model_dump(mode="json", by_alias=True, exclude_none=True)
        return {"kind": "state" if self.state else "business_stopped", **values}

    @model_validator(mode="after")
    def _says_what(self) -> Self:
        if bool(self.state) == bool(self.business_id):
            raise ValueError(f"say what: {one_of_these(('state', 'business_id'))}")
        return self


class Prune(Form):
    """Delete finished texts, their attempts, and runs, from before those days. Opt-outs are kept."""

    COMMAND, EXAMPLES = "prune", ("prune", "prune --keep-days 180 --yes")
    FUNCTION, DOES = "prune_sms_history", ("delete", "deleted")
    keep_days: int = Field(
        90, description="Days of finished texts to keep.", ge=7, le=3650
    )
    dry_run: bool = DRY_RUN


class MarkDatabase(Signed):
    """Say what this database is, so that no copy of production texts its customers.

    From a database that is marked as production, workers text everybody only if their SUPABASE_URL has the address
    that it has here and now. From one that is marked as staging, none does.
    """

    COMMAND = "mark"
    EXAMPLES = (
        "mark production --because 'Live since May'",
        "mark staging --because 'A copy of last night'",
    )
    FUNCTION, DOES = "mark_sms_database", ("", "marked the database as {kind}")
    kind: Annotated[Literal[Mark, "none"], POSITIONAL] = Field(
        description="none takes the mark away."
    )
