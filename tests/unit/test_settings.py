"""What a wrong environment is answered with."""

from datetime import timedelta
from typing import TypeVar

import pytest
from pydantic import SecretStr

from smsretry.errors import SettingsError
from smsretry.retry.before import CLOSING_GUARD
from smsretry.retry.profile import SEND_WITHIN_SECONDS, Profile
from smsretry.settings import ReadingSettings, Settings, load
from tests.support.builders import forget_settings

_Kind = TypeVar("_Kind", bound=ReadingSettings)
COMPLETE = {
    "SUPABASE_URL": "https://project.supabase.co",
    "SUPABASE_SERVICE_ROLE_KEY": "key",
    "TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
    "TWILIO_AUTH_TOKEN": "token",
    "TWILIO_FROM_NUMBER": "+12125550100",
}
WITH_SERVICE = {"TWILIO_MESSAGING_SERVICE_SID": "MG" + "0" * 32}
WITH_KEY = {"TWILIO_API_KEY_SID": "SK" + "0" * 32, "TWILIO_API_KEY_SECRET": "secret"}
NO_CREDENTIALS = "TWILIO_AUTH_TOKEN: set TWILIO_API_KEY_SID and TWILIO_API_KEY_SECRET, or TWILIO_AUTH_TOKEN"
NO_SENDER = (
    "TWILIO_FROM_NUMBER: set TWILIO_MESSAGING_SERVICE_SID, or TWILIO_FROM_NUMBER"
)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Without any setting."""
    forget_settings(monkeypatch)
    return monkeypatch


def settings_from(
    environment: pytest.MonkeyPatch, kind: type[_Kind], **values: str
) -> _Kind:
    """Read the settings from these variables, and nothing else."""
    with environment.context() as patched:
        for name, value in values.items():
            patched.setenv(name, value)
        return load(kind)


def complaints(
    environment: pytest.MonkeyPatch, *, without: str = "", **values: str
) -> list[str]:
    """What is said of an environment that will not do, a line each."""
    with pytest.raises(SettingsError) as raised:
        settings_from(
            environment,
            Settings,
            **{name: value for name, value in values.items() if name != without},
        )
    headline, *lines = str(raised.value).split("\n  ")
    assert headline == "Settings are not complete:"
    return lines


def test_five_variables_will_do_and_the_rest_has_defaults(
    environment: pytest.MonkeyPatch,
) -> None:
    """A messaging service and an API key will do as well, and go before. A reader's broken key is nothing to a run."""
    settings = settings_from(
        environment, Settings, **COMPLETE, SUPABASE_READER_KEY="a\nb"
    )
    assert (
        settings.supabase_service_role_key.get_secret_value(),
        settings.default_sender.sent_by,
    ) == (
        "key",
        "+12125550100",
    )
    assert settings.profile == Profile()
    environment_values = {**COMPLETE, **WITH_SERVICE, **WITH_KEY}
    del environment_values["TWILIO_AUTH_TOKEN"]
    assert (
        settings_from(
            environment, Settings, **environment_values
        ).default_sender.sent_by
        == WITH_SERVICE["TWILIO_MESSAGING_SERVICE_SID"]
    )


def test_a_project_s_keys_are_read_by_the_names_of_today_and_of_before(
    environment: pytest.MonkeyPatch,
) -> None:
    """The newer name goes first, as while a key is exchanged. What is wrong is told of the variable that is set."""
    newer = {"SUPABASE_SECRET_KEY": "sb_secret_1", "SUPABASE_PUBLISHABLE_KEY": "sb_p"}
    both = settings_from(environment, Settings, **COMPLETE, **newer)
    assert both.supabase_service_role_key.get_secret_value() == "sb_secret_1"
    assert both.supabase_anon_key == SecretStr("sb_p")
    for name in ("SUPABASE_SECRET_KEY", "SUPABASE_SERVICE_ROLE_KEY"):
        told = complaints(environment, **COMPLETE | {name: "a b"})
        assert [line.partition(": has a")[0] for line in told] == [name]


WRONG: list[tuple[dict[str, str], str, list[str]]] = [
    # changes to the complete environment, the variable left out, what is said: all of it at once, in order
    ({}, "SUPABASE_URL", ["SUPABASE_URL: is not set"]),
    ({}, "TWILIO_ACCOUNT_SID", ["TWILIO_ACCOUNT_SID: is not set"]),
    (
        {"SUPABASE_SERVICE_ROLE_KEY": ""},
        "",
        ["SUPABASE_SECRET_KEY: is not set"],
    ),  # in an .env file: somebody forgot it
    (
        {"TWILIO_ACCOUNT_SID": "SK" + "0" * 32},
        "",
        ["TWILIO_ACCOUNT_SID: must be AC and 32 digits"],
    ),
    (
        {"TWILIO_ACCOUNT_SID": "AC" + "0" * 32 + "\n"},
        "",
        ["TWILIO_ACCOUNT_SID: must be AC and 32 digits"],
    ),
    (
        {"SUPABASE_URL": "nowhere", "TWILIO_ACCOUNT_SID": "AC"},
        "",
        ["SUPABASE_URL: must be", "TWILIO_ACCOUNT_SID: "],
    ),
    (
        {"SUPABASE_URL": "https://api.twilio.com"},
        "",
        ["SUPABASE_URL: must be the project's URL alone"],
    ),
    (
        {"SUPABASE_URL": "https://supabase.com/dashboard"},
        "",
        ["SUPABASE_URL: must be the project's URL alone"],
    ),
    (
        {"SUPABASE_URL": "https://x.supabase.co/rest/v1"},
        "",
        ["SUPABASE_URL: must be the project's URL alone"],
    ),
    (
        {"TWILIO_READ_TIMEOUT_SECONDS": "0"},
        "",
        ["TWILIO_READ_TIMEOUT_SECONDS: must be greater than 0"],
    ),
    (
        {"TWILIO_READ_TIMEOUT_SECONDS": "x"},
        "",
        ["TWILIO_READ_TIMEOUT_SECONDS: must be a valid number"],
    ),
    (
        {"TWILIO_FROM_NUMBER": "(212) 555-0100"},
        "",
        ["TWILIO_FROM_NUMBER: Phone number"],
    ),
    (
        {"SMSRETRY_QUIET_HOURS_RULES": "state"},
        "",
        ["SMSRETRY_QUIET_HOURS_RULES: must be 'federal' or 'us_states'"],
    ),
    (
        {"TWILIO_READ_TIMEOUT_SECONDS": "36"},
        "",
        ["TWILIO_READ_TIMEOUT_SECONDS: must be less than or equal to 35"],
    ),
    # What must be set together, or not at all. One mistake, one complaint: what is malformed is not called missing.
    ({}, "TWILIO_AUTH_TOKEN", [NO_CREDENTIALS]),
    ({"TWILIO_AUTH_TOKEN": ""}, "", [NO_CREDENTIALS]),
    ({"TWILIO_API_KEY_SID": "SK" + "0" * 32}, "TWILIO_AUTH_TOKEN", [NO_CREDENTIALS]),
    (
        WITH_KEY | {"TWILIO_API_KEY_SID": "no"},
        "TWILIO_AUTH_TOKEN",
        ["TWILIO_API_KEY_SID: "],
    ),
    ({}, "TWILIO_FROM_NUMBER", [NO_SENDER]),
    (
        {"TWILIO_MESSAGING_SERVICE_SID": "no"},
        "TWILIO_FROM_NUMBER",
        ["TWILIO_MESSAGING_SERVICE_SID: "],
    ),
    # Whom to text: whether it meant more or fewer people cannot be known.
    (
        {"SMSRETRY_SEND_TO": "Nobody"},
        "",
        ["SMSRETRY_SEND_TO: entry 1: Phone number is not E.164"],
    ),
    ({"SMSRETRY_SEND_TO": "nobody, all"}, "", ["SMSRETRY_SEND_TO: entry 1: Phone"]),
    ({"SMSRETRY_SEND_TO": ""}, "", ["SMSRETRY_SEND_TO: is set to nothing"]),
    ({"SMSRETRY_SEND_TO": " ,"}, "", ["SMSRETRY_SEND_TO: is set to nothing"]),
    (
        {"SMSRETRY_SEND_TO": "+12125550123, 2125550124"},
        "",
        ["SMSRETRY_SEND_TO: entry 2: "],
    ),
    (
        {"SMSRETRY_SEND_TO": "+4407700900123"},
        "",
        ["SMSRETRY_SEND_TO: entry 1: Phone number is not spelled"],
    ),
]


def test_each_wrong_variable_is_named_with_what_it_should_be(
    environment: pytest.MonkeyPatch,
) -> None:
    """Every variable that is missing or malformed, not one a run. No number is quoted."""
    assert [line.partition(": is")[0] for line in complaints(environment)] == [
        "SUPABASE_URL", "SUPABASE_SECRET_KEY", "TWILIO_ACCOUNT_SID", NO_CREDENTIALS, NO_SENDER,
    ]  # fmt: skip
    for changes, without, complaints_expected in WRONG:
        lines = complaints(environment, **(COMPLETE | changes), without=without)
        assert len(lines) == len(complaints_expected), lines
        assert all(
            line.startswith(words)
            for line, words in zip(lines, complaints_expected, strict=True)
        ), lines
        assert "5550" not in "".join(lines)


def test_a_list_is_read_entry_by_entry_and_never_shown(
    environment: pytest.MonkeyPatch,
) -> None:
    """What is no number of it is not texted."""
    settings = settings_from(
        environment,
        Settings,
        **COMPLETE,
        SMSRETRY_SEND_TO=" +12125550123,+12125550124 ,",
    )
    for phone, may in [
        ("+12125550124", True),
        ("+12125550125", False),
        (None, False),
        ("", False),
    ]:
        assert settings.audience.includes(phone) is may
    assert settings.audience.description == "texts only who is listed"
    assert "555012" not in repr(settings) + repr(settings.audience)
    empty = settings_from(
        environment, Settings, **COMPLETE, SMSRETRY_SEND_TO="nobody"
    ).audience
    assert (empty.description, empty.includes("+12125550123")) == (
        "texts nobody",
        False,
    )


def test_the_owners_decisions_are_read_and_the_longest_timeouts_end_before_the_window_closes(
    environment: pytest.MonkeyPatch,
) -> None:
    """A request that was two minutes on its way had been valid past the end of the permitted hours."""
    changed = {
        "SMSRETRY_IN_DOUBT": "hold",
        "SMSRETRY_QUIET_HOURS_RULES": "federal",
        "SMSRETRY_OPENING_SPREAD_MINUTES": "30",
    }
    minute = timedelta(minutes=1)
    expected = Profile("hold", "federal", opening_spread=30 * minute)
    assert (
        settings_from(environment, Settings, **COMPLETE, **changed).profile == expected
    )
    slow = {
        "TWILIO_CONNECT_TIMEOUT_SECONDS": "5",
        "TWILIO_READ_TIMEOUT_SECONDS": "35",
    }  # the longest that there are
    settings = settings_from(environment, Settings, **COMPLETE, **slow)
    timeouts = (
        settings.twilio_connect_timeout_seconds + settings.twilio_read_timeout_seconds
    )
    assert timedelta(seconds=SEND_WITHIN_SECONDS + timeouts) < CLOSING_GUARD
