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
    NumberlessWords,
    Question,
    SenderName,
    Signed,
    UsState,
)
from smsretry.vocabulary import Mark, SendResult, TextState, WhyCode


class AskStatus(Question):
    """What needs attention, what is due, waits and was sent, what failed, and the last runs."""

    COMMAND = "status"
    EXAMPLES = ("status", "status --json | jq .queue")
    FUNCTION = "sms_status"


class ListUnreadWords(Question):
    """List what customers wrote that may mean stop, until somebody has said what it means; the oldest first."""

    COMMAND = "unread"
    EXAMPLES = ("unread",)
    FUNCTION = "unread_sms_words"


class ExplainText(Question):
    """What happened to a text, why, what comes next, and what you can do; or to all texts of a customer.

    The id may be of any kind. Where the queue has no text, the answer is what the application sent itself.
    """

    COMMAND = "explain"
    EXAMPLES = ("explain $ID", "explain - < number.txt")
    FUNCTION = "explain_sms"
    id: Annotated[AnyId, POSITIONAL] = Field(
        description="Any id: of a text's row, a scheduled send, a send log, an attempt, or a customer. Or the SID of a "
        "message, or the last four digits of a number.",
        repr=False,
    )

    def values(self) -> dict[str, object]:
        """The argument that the shape of the id calls for."""
        text = str(self.id)
        if text.startswith("+"):
            return {"phone": text}
        if len(text) == LAST_DIGITS:
            return {"last_digits": text}
        if re.fullmatch(UUID_PATTERN, text):
            return {"id": text}
        return {"sid": text}


class Preview(Question):
    """What goes out in the next hours, what does not, and why. Nothing is claimed or written."""

    COMMAND = "preview"
    EXAMPLES = ("preview --hours 12",)
    FUNCTION = "preview_sms_retries"
    hours: int = Field(24, description="How far ahead to look.", ge=1, le=168)


class Report(Question):
    """What each business sent, lost and failed to send, by month; who opted out; which texts never arrived.

    It reaches as far back as history is kept (`smsretry prune`).
    """

    COMMAND = "report"
    EXAMPLES = (
        "report --since 2026-11-01 --csv > november.csv",
        "report opted_out --since 2026-11-23",
        "report lost --business $BUSINESS",
    )
    FUNCTION = "sms_report"
    what: Annotated[Literal["businesses", "opted_out", "lost"], POSITIONAL] = Field(
        "businesses",
        description="businesses: figures by month. opted_out: customers. lost: texts.",
    )
    business_id: BusinessId | None = Field(None, description="Id of the business.")
    since: Moment | None = Field(None, description="From then on; the last 31 days.")
    until: Moment | None = Field(None, description="Until then; now.")


_CRITERIA: Final[tuple[str, ...]] = (
    "retry_ids",
    "business_id",
    "customer_id",
    "code",
    "why_code",
    "states",
    "send",
    "sender",
    "needs_person",
    "due_by",
    "since",
    "until",
)


class TextFilter(Form):
    """A choice of texts: those that match every field that is filled in. At least one field must be."""

    ONE_OF = _CRITERIA
    WANTED = "which texts: by"

    retry_ids: list[Id] | None = Field(None, description="Ids of rows.", max_length=500)
    business_id: BusinessId | None = Field(None, description="Id of the business.")
    customer_id: Id | None = Field(None, description="Id of the customer.")
    code: int | None = Field(
        None,
        description="The provider's error code, as 30003; 0: without one.",
        ge=0,
        le=99999,
    )
    why_code: WhyCode | None = Field(
        None, description="Why it waits or ended, in a word."
    )
    states: list[TextState] | None = Field(
        None, description="Only those in these states."
    )
    send: SendResult | None = Field(
        None,
        description="Only those with a send that came to this; since, until and code are then the send's.",
    )
    sender: SenderName | None = Field(
        None, description="Only those in the queue that go out from this sender."
    )
    needs_person: bool = Field(False, description="Only those that wait for a person.")
    due_by: Moment | None = Field(None, description="Due then or earlier.")
    since: Moment | None = Field(None, description="Last changed then or later.")
    until: Moment | None = Field(None, description="Last changed then or earlier.")
    limit: int = Field(
        1000, description="How many at most, the newest first.", ge=1, le=10_000
    )

    def values(self) -> dict[str, object]:
        """The arguments: all criteria are one, so that its function stays as it is if a criterion is added."""
        criteria = self.model_dump(
            mode="json", include={*_CRITERIA}, exclude_defaults=True
        )
        others = self.model_dump(
            mode="json", exclude={*_CRITERIA, "limit"}, exclude_none=True
        )
        return {**others, "row_limit": self.limit, "which": criteria}


class ListTexts(TextFilter, Question):
    """List texts that match everything that is given."""

    COMMAND = "texts list"
    EXAMPLES = ("texts list --state held --business $BUSINESS",)
    FUNCTION = "list_sms"
    limit: int = Field(
        100, description="How many at most, the newest first.", ge=1, le=500
    )


DRY_RUN: Final[bool] = Field(
    True, title="Only try", description="Change nothing; say what would be changed."
)


class Order(Form):
    """A change that is only tried at first. Nothing is changed unless somebody says who and why."""

    dry_run: bool = DRY_RUN
    who: NumberlessWords | None = Field(None, description="Your name. It is kept.")
    because: NumberlessWords | None = Field(None, description="Why. It is kept.")

    @model_validator(mode="after")
    def _is_signed(self) -> Self:
        for name in ("who", "because"):
            if not self.dry_run and not getattr(self, name):
                raise ValueError(f"{{{name}}} must be given: it is kept with each text")
        return self


class ChangeTexts(TextFilter, Order):
    """A change of the texts that match."""

    FUNCTION = "change_sms_texts"
    ONE_OF = tuple(name for name in _CRITERIA if name != "states")
    CHANGE: ClassVar[str]
    """The change, as its function calls it."""

    def values(self) -> dict[str, object]:
        """The change, the criteria, and who orders it and why."""
        return {"what": self.CHANGE, **super().values()}


class Requeue(ChangeTexts):
    """Put texts that failed back into the queue, due at once; cancelled ones, if their state is given."""

    COMMAND = "texts requeue"
    EXAMPLES = (
        "texts requeue --code 30003 --since 2026-11-24",
        "texts requeue --code 30003 --yes --because 'Mended'",
    )
    CHANGE = "requeue"
    WOULD = "requeue"
    DID = "requeued"


class Cancel(ChangeTexts):
    """End texts that wait, and scheduled sends. What the customer may have already is left alone."""

    COMMAND = "texts cancel"
    EXAMPLES = ("texts cancel --row $ROW --yes --because 'Moved away'",)
    CHANGE = "cancel"
    WOULD = "cancel"
    DID = "cancelled"


class LookAgain(ChangeTexts):
    """Have texts looked at now that wait for something which is mended. Every check is made again."""

    COMMAND = "texts look-again"
    EXAMPLES = ("texts look-again --why no_credentials",)
    CHANGE = "look"
    WOULD = "look again now at"
    DID = "will look again now at"


class ReportRestore(Order):
    """Report a restore that no run can notice: texts are looked for at the provider before they are sent.

    That holds for every text from before the restore, scheduled sends too, whenever its time comes.
    """

    COMMAND = "after-restore"
    EXAMPLES = ("after-restore --backup-of 2026-11-24T03:00",)
    FUNCTION = "after_sms_restore"
    WOULD = "look for"
    DID = "recorded the restore, and will look for"
    backup_of: Moment = Field(
        description="When the backup was taken.", serialization_alias="since"
    )


class Resolve(Signed):
    """Say what became of a text in doubt."""

    COMMAND = "texts resolve"
    EXAMPLES = ("texts resolve --row $ROW --went-out-as nothing --because 'I looked'",)
    FUNCTION = "resolve_sms_doubt"
    DID = "resolved row {retry_id}"
    retry_id: Id = Field(description="Id of the row.")
    went_out_as: MessageId = Field(
        description="The provider's id of the message that was this text; nothing: it did not go out, and may again."
    )
    because: NumberlessWords = Field(description="How you know. It is kept.")

    def values(self) -> dict[str, object]:
        """The arguments: a message id, or null for nothing."""
        arguments = super().values()
        sid = arguments.pop("went_out_as")
        arguments["twilio_sid"] = None if sid == "nothing" else sid
        return arguments


class RecordConsent(Signed):
    """Record that a person said yes or stop, by telephone or letter. A stop ends the texts that wait for them.

    A stop of a number counts at all businesses. Only a terminal takes a number.
    """

    COMMAND = "consent"
    EXAMPLES = (
        "consent - --said opted_out --source call --because Rang < n.txt",
        "consent $CUSTOMER --said opted_in --source form --because Signed",
    )
    FUNCTION = "record_sms_consent"
    SAID: ClassVar = {
        "opted_in": "yes to texts",
        "opted_out": "stop",
        "unchanged": "neither yes nor stop",
    }
    customer_id: Annotated[IdOrNumber, POSITIONAL] = Field(
        description="Id of the customer: for their number, at their business.",
        repr=False,
    )
    consent: Literal["opted_in", "opted_out", "unchanged"] = Field(
        title="They said",
        description="opted_in: yes to texts. opted_out: stop. unchanged: what they wrote means neither.",
    )
    source: NumberlessWords = Field(
        title="How",
        description="How they said it, in a word that the text's story shows: telephone, letter, form.",
    )
    because: NumberlessWords = Field(
        description="What they said, and when. It is kept."
    )

    @property
    def deed(self) -> str:
        return f"recorded that they said {self.SAID[self.consent]}"

    @property
    def _is_number(self) -> bool:
        return str(self.customer_id).startswith("+")

    @model_validator(mode="after")
    def _says_yes_to_one_business(self) -> Self:
        if self.consent == "opted_in" and self._is_number:
            raise ValueError(
                "a yes is given to one business: {customer_id} must be the customer's id there"
            )
        return self

    def values(self) -> dict[str, object]:
        """The arguments: a number is no id, but `phone`."""
        values = {**super().values(), "phone": None}
        if self._is_number:
            values |= {"phone": self.customer_id, "customer_id": None}
        return values


class ImportOptOuts(Order):
    """Import opt-outs from another system, also of numbers that no customer has yet.

    FILE is a CSV of two columns, with a header or without: the number with its country code, and when it opted out, in
    ISO 8601 with a zone. A number whose customer opted in later is left alone. Give the file again after a mistake or a
    broken connection: what is recorded already stays as it is.
    """

    FUNCTION = "import_sms_opt_outs"
    WOULD = "record"
    DID = "recorded"
    business_id: IdOrAll = Field(
        description="Whose opt-outs they are; all: they are from every business."
    )
    source: NumberlessWords | None = Field(
        None,
        description="What they are, in a word that a text's story shows; import_ and the date.",
    )

    def values(self) -> dict[str, object]:
        """The arguments: a business, or that all are meant."""
        arguments = super().values()
        arguments["all_businesses"] = self.business_id == "all"
        if self.business_id == "all":
            arguments["business_id"] = None
        return arguments


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
    ONE_OF = ("state", "business_id")
    WANTED = "what:"
    state: Annotated[UsState | None, POSITIONAL] = Field(
        None, description="Two letters of a US state or territory."
    )
    business_id: BusinessId | None = Field(None, description="Id of the business.")
    because: NumberlessWords = Field(
        description="Why, such as the declared emergency. Kept, and shown with each text."
    )
    lift: bool = Field(False, description="Let the texts go again.")

    @model_validator(mode="after")
    def _says_what(self) -> Self:
        if self.state and self.business_id:
            raise ValueError("stop either {state} or {business_id}")
        return self

    @property
    def deed(self) -> str:
        subject = f"marketing texts to {self.state}" if self.state else "the business"
        return f"lifted the stop of {subject}" if self.lift else f"stopped {subject}"

    def values(self) -> dict[str, object]:
        """The arguments: a stop has a kind and a subject."""
        return {
            "kind": "state" if self.state else "business_stopped",
            "subject": self.state or str(self.business_id),
            "why": self.because,
            "who": self.who,
            "lift": self.lift,
        }


class Prune(Form):
    """Delete finished texts, their attempts, and runs, from before those days. Opt-outs are kept."""

    COMMAND = "prune"
    EXAMPLES = ("prune", "prune --keep-days 180 --yes")
    FUNCTION = "prune_sms_history"
    WOULD = "delete"
    DID = "deleted"
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
    FUNCTION = "mark_sms_database"
    DID = "marked the database as {kind}"
    kind: Annotated[Literal[Mark, "none"], POSITIONAL] = Field(
        description="none takes the mark away."
    )
