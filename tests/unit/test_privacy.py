"""Phone numbers, bodies and secrets stay where they belong."""

import traceback
from datetime import timedelta
from itertools import product
from uuid import UUID

import pytest
from prefect.utilities.schema_tools import ValidationError as SchemaError
from prefect.utilities.schema_tools import validate
from pydantic import ValidationError

from smsretry.desk.actions.form import Form
from smsretry.desk.actions.requests import Cancel, ReportRestore, Requeue, Resolve
from smsretry.errors import SettingsError
from smsretry.privacy import describe_unforeseen
from smsretry.retry.doubt import after_look
from smsretry.retry.models import Claim, Look, SenderId, Text
from smsretry.settings import Settings, load
from tests.support.builders import (
    BODY,
    NOON,
    PHONE,
    SID,
    attempt,
    claim_with,
    forget_settings,
    sighting,
)

PRIVATE = (
    PHONE,
    PHONE[2:],
    BODY,
    "Ann",
    "the-service-role-key",
    "the-auth-token",
    "the-api-key-secret",
)


def test_an_unforeseen_error_that_was_never_raised_has_no_place() -> None:
    """It is described all the same, and without a number."""
    error = ValueError("Nobody at +12125550123")
    described = describe_unforeseen(error, private=(None,))
    assert described == "Unforeseen ValueError: Nobody at …"


def assert_tells_nothing(text: str) -> None:
    """Neither number, body nor secret is in a text that leaves."""
    for private in PRIVATE:
        assert private not in text


FINGERPRINT, OURS = "fedcba9876543210" * 2, "+12125550100"
DOUBTFUL = claim_with(
    attempt=attempt(sent_by=OURS, other_bodies=[BODY]),
    fingerprint=FINGERPRINT,
    in_doubt_since=NOON,
)
LOOK = Look(sightings=(sighting(),), clock_ahead=timedelta(seconds=3))
TEXT = Text(
    attempt_id=UUID(int=5),
    sender=SenderId(None, OURS),
    to=PHONE,
    body=BODY,
    valid_for=timedelta(hours=1),
)


def test_no_value_shows_number_and_body() -> None:
    """It shows the rest, so that a log line is still of use. A decision names what may be the text by its SID.

    Of a claim that is neither what was sent, nor a number of our own, nor the fingerprint of the number, which anybody
    can try numbers against.
    """
    for value, fingerprint in (
        (claim_with(phone=PHONE, body=BODY), UUID(int=1)),
        (DOUBTFUL, UUID(int=1)),
        (LOOK, SID),
        (LOOK.sightings[0], SID),
        (TEXT, UUID(int=5)),
    ):
        for text in (repr(value), str(value), repr([value]), str({"value": value})):
            assert_tells_nothing(text)
            assert FINGERPRINT not in text
            assert OURS not in text
            assert str(fingerprint) in text
    for body in (BODY, f"{BODY} Reply STOP to end.", ""):
        for decision in after_look(
            DOUBTFUL,
            Look(sightings=(sighting(body=body),)),
            at=NOON + timedelta(hours=1),
        ):
            assert_tells_nothing(repr(decision))


BAD_ROWS: list[dict[str, object]] = [
    # columns that hold a number or a body where something else belongs
    {"claim_no": PHONE + "x"}, {"id": BODY}, {"claimed_at": BODY}, {"expires_at": PHONE + "x"},
    {"send_log_found": BODY}, {"phone": [PHONE]}, {"body": {"text": BODY}}, {"attempt": attempt(phone=[PHONE])},
    {"attempt": attempt(body={"text": BODY})}, {"attempt": attempt(sent_by=[PHONE])}, {"fingerprint": [PHONE]},
    {"channel": [BODY]}, {"timezone": [BODY]},
]  # fmt: skip


def test_what_cannot_be_read_is_not_quoted() -> None:
    """The validation error names the column and not what it holds, nor what other columns hold."""
    for columns in BAD_ROWS:
        with pytest.raises(ValidationError) as raised:
            claim_with(**columns)
        assert next(iter(columns)) in str(raised.value)
        assert_tells_nothing("".join(traceback.format_exception(raised.value)))
    for kind, row in (
        (Text, {"attempt_id": BODY, "to": [PHONE], "body": [BODY]}),
        (Claim, {"phone": PHONE, "body": BODY}),
    ):
        with pytest.raises(ValidationError) as raised:
            kind.model_validate(row)
        assert_tells_nothing(str(raised.value))


MISPLACED = [
    # a variable, and a value that it cannot have and that must not be repeated
    ("SUPABASE_URL", "the-service-role-key"),
    ("TWILIO_ACCOUNT_SID", "the-auth-token"),
    ("TWILIO_API_KEY_SID", "the-api-key-secret"),
    ("TWILIO_MESSAGING_SERVICE_SID", "the-auth-token"),
    ("TWILIO_FROM_NUMBER", PHONE + " "),
    ("TWILIO_BASE_URL", "the-auth-token"),
    ("TWILIO_READ_TIMEOUT_SECONDS", "the-auth-token"),
    ("SUPABASE_TIMEOUT_SECONDS", "the-service-role-key"),
]


def test_settings_show_no_secret_and_one_in_the_wrong_variable_is_not_repeated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neither printed nor written as JSON. The message names the variable; the traceback holds no more than that.

    A caller who builds the settings directly gets pydantic's own error, without the values.
    """
    forget_settings(monkeypatch)
    for variable, value in {
        "SUPABASE_URL": "https://project.supabase.co",
        "SUPABASE_SERVICE_ROLE_KEY": "the-service-role-key",
        "TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
        "TWILIO_AUTH_TOKEN": "the-auth-token",
        "TWILIO_API_KEY_SID": "SK" + "0" * 32,
        "TWILIO_API_KEY_SECRET": "the-api-key-secret",
        "TWILIO_FROM_NUMBER": "+12125550100",
    }.items():
        monkeypatch.setenv(variable, value)
    settings = load(Settings)
    for text in (
        repr(settings),
        str(settings),
        settings.model_dump_json(),
        str(settings.model_dump()),
    ):
        assert_tells_nothing(text)
        assert "https://project.supabase.co" in text
    for variable, value in MISPLACED:
        with monkeypatch.context() as patched:
            patched.setenv(variable, value)
            with pytest.raises(SettingsError) as raised:
                load(Settings)
            with pytest.raises(ValidationError) as bare:
                Settings()
        assert variable in str(raised.value)
        assert variable.lower() in str(bare.value)
        assert_tells_nothing(
            "".join(traceback.format_exception(raised.value)) + str(bare.value)
        )


def test_a_form_lets_prefect_refuse_a_number_before_it_is_kept() -> None:
    """Prefect checks the form's schema before it keeps what was filled in, and knows nothing of our validators."""
    forms: list[type[Form]] = [Requeue, Cancel, ReportRestore, Resolve]
    for form, field in product(forms, ("who", "because")):
        schema = form.model_json_schema()
        schema["required"] = []
        validate(
            {field: "Ann, for order 1234567 of 2026-11-24"}, schema, raise_on_error=True
        )
        for written in (
            PHONE,
            f"line one\nfrom {PHONE}",
            "(212)5550191",
            "07700 900123",
            "020 7946 0958",
        ):
            with pytest.raises(SchemaError):
                validate({field: f"She called {written}"}, schema, raise_on_error=True)
