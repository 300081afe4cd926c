"""What a wrong environment is answered with."""

from datetime import timedelta
from uuid import UUID

import pytest

from smsretry.errors import SettingsError
from smsretry.retry.profile import SEND_WITHIN_SECONDS, Profile
from smsretry.settings import ReadingSettings, Settings, load_reading_settings, load_settings
from tests.support.builders import forget_settings

COMPLETE = {
    "SUPABASE_URL": "https://project.supabase.co",
    "SUPABASE_SERVICE_ROLE_KEY": "key",
    "TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
    "TWILIO_AUTH_TOKEN": "token",
    "TWILIO_FROM_NUMBER": "+12125550100",
}
WITH_SERVICE = {"TWILIO_MESSAGING_SERVICE_SID": "MG" + "0" * 32}
WITH_KEY = {"TWILIO_API_KEY_SID": "SK" + "0" * 32, "TWILIO_API_KEY_SECRET": "secret"}
NO_CREDENTIALS = "Set TWILIO_API_KEY_SID and TWILIO_API_KEY_SECRET, or TWILIO_AUTH_TOKEN"
ONE_SENDER = "Set one of TWILIO_MESSAGING_SERVICE_SID and TWILIO_FROM_NUMBER"


def load(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], without: str = "") -> Settings:
    """Read the settings from this environment, less one variable, and nothing else."""
    _only(monkeypatch, {name: value for name, value in environment.items() if name != without})
    return load_settings()


def load_reading(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> ReadingSettings:
    """Read what questions need."""
    _only(monkeypatch, environment)
    return load_reading_settings()


def _only(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    forget_settings(monkeypatch)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


def complaints(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], without: str = "") -> list[str]:
    """What is said of an environment that will not do, a line each."""
    with pytest.raises(SettingsError) as raised:
        load(monkeypatch, environment, without)
    first, *lines = str(raised.value).split("\n  ")
    assert first == "Settings are not complete:"
    return lines


def test_the_shortest_environment_that_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five variables; the rest has defaults."""
    settings = load(monkeypatch, COMPLETE)
    assert settings.supabase_service_role_key.get_secret_value() == "key"
    assert settings.twilio_from_number == "+12125550100"
    assert settings.supabase_timeout_seconds == 15
    assert settings.twilio_connect_timeout_seconds == 5
    assert settings.twilio_read_timeout_seconds == 35
    assert settings.twilio_base_url is None


def test_a_messaging_service_and_an_api_key_will_do_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """Instead of a number and the auth token."""
    settings = load(monkeypatch, COMPLETE | WITH_SERVICE | WITH_KEY, without="TWILIO_FROM_NUMBER")
    assert settings.twilio_messaging_service_sid == WITH_SERVICE["TWILIO_MESSAGING_SERVICE_SID"]
    assert settings.twilio_api_key_sid == WITH_KEY["TWILIO_API_KEY_SID"]


def test_an_empty_environment_is_told_every_variable_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    """All at once, not one a run: `load_settings` promises to name every variable that is missing."""
    assert complaints(monkeypatch, {}) == [
        "SUPABASE_URL is not set",
        "SUPABASE_SERVICE_ROLE_KEY is not set",
        "TWILIO_ACCOUNT_SID is not set",
        NO_CREDENTIALS,
        ONE_SENDER,
    ]


@pytest.mark.parametrize("key", ["SUPABASE_READER_KEY", "SUPABASE_SERVICE_ROLE_KEY"])
def test_questions_need_an_address_and_one_of_two_keys(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    """The reader's key is used if there are both, and by questions alone."""
    reading = load_reading(monkeypatch, {"SUPABASE_URL": COMPLETE["SUPABASE_URL"], key: "one"})
    assert (reading.key.get_secret_value(), reading.as_reader) == ("one", key == "SUPABASE_READER_KEY")
    assert reading.profile == Settings.model_validate({name.lower(): value for name, value in COMPLETE.items()}).profile
    both = COMPLETE | {"SUPABASE_READER_KEY": "reader"}
    assert load_reading(monkeypatch, both).key.get_secret_value() == "reader"
    assert (load(monkeypatch, both).key.get_secret_value(), load(monkeypatch, both).as_reader) == ("key", False)


def test_a_reader_s_key_that_will_not_do_stops_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """It stops questions, and is named there."""
    broken = COMPLETE | {"SUPABASE_READER_KEY": "a\nb"}
    assert load(monkeypatch, broken).key.get_secret_value() == "key"
    with pytest.raises(SettingsError, match="SUPABASE_READER_KEY: has a line break"):
        load_reading(monkeypatch, broken)


def test_a_missing_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing else is complained of. `SUPABASE_SERVICE_ROLE_KEY=` in a .env file is a key somebody forgot."""
    for variable in ("SUPABASE_URL", "SUPABASE_SERVICE_ROLE_KEY", "TWILIO_ACCOUNT_SID"):
        assert complaints(monkeypatch, COMPLETE, without=variable) == [f"{variable} is not set"]
    [empty] = complaints(monkeypatch, COMPLETE | {"SUPABASE_SERVICE_ROLE_KEY": ""})
    assert "SUPABASE_SERVICE_ROLE_KEY" in empty


MALFORMED = [
    # a variable, values that it cannot have, what is said of them
    ("TWILIO_ACCOUNT_SID", ("SK" + "0" * 32, "AC" + "0" * 31, "AC" + "0" * 32 + "\n"), "must be AC and 32 digits"),
    ("TWILIO_API_KEY_SID", ("AC" + "0" * 32,), "must be SK and 32 digits"),
    ("TWILIO_MESSAGING_SERVICE_SID", ("SK" + "0" * 32,), "must be MG and 32 digits"),
    ("SUPABASE_URL", ("project.supabase.co", "postgresql://db.supabase.co"), "must be a web address"),
    ("TWILIO_READ_TIMEOUT_SECONDS", ("0",), "must be greater than 0"),
    ("TWILIO_READ_TIMEOUT_SECONDS", ("121",), "must be less than or equal to 120"),
    ("TWILIO_FROM_NUMBER", ("(212) 555-0100", "+1212555010", "+9992125550100"), "Phone number"),
    ("SMSRETRY_QUIET_HOURS_RULES", ("state",), "must be 'federal' or 'us_states'"),
    ("SMSRETRY_SEND_TO", ("none", "Nobody", " "), "must be 'all', 'listed' or 'nobody'"),
    ("SMSRETRY_SEND_TO", ("",), "is set to nothing"),
    ("SMSRETRY_SEND_TO_NUMBERS", ("+12125550123",), "counts only with SMSRETRY_SEND_TO=listed"),
    ("SMSRETRY_SEND_TO_BUSINESSES", ("5b0c5f0e-6b0a-4a53-9d0c-0f5c1f6f2a11",), "counts only with"),
    ("SMSRETRY_CLOSING_GUARD_SECONDS", ("10",), "must be greater than or equal to 60"),
]


def test_a_malformed_variable_is_told_what_it_should_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable, a colon, and the trouble."""
    for variable, values, complaint in MALFORMED:
        for value in values:
            first, *_ = complaints(monkeypatch, COMPLETE | {variable: value})
            assert first.startswith(f"{variable}: {complaint}"), (value, first)


LISTED = {"SMSRETRY_SEND_TO": "listed"}


def test_a_list_of_whom_to_text_that_is_malformed_stops_each_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it meant more or fewer people cannot be known. No number is quoted."""
    for variable, value, entry in (
        ("SMSRETRY_SEND_TO_NUMBERS", "+12125550123, 2125550124", 2),
        ("SMSRETRY_SEND_TO_NUMBERS", "+12125550123 +12125550124", 1),
        ("SMSRETRY_SEND_TO_BUSINESSES", "maple", 1),
    ):
        [line] = complaints(monkeypatch, COMPLETE | LISTED | {variable: value})
        assert line.startswith(f"{variable}: entry {entry} of the comma-separated list")
        assert "555" not in line


def test_a_list_is_read_entry_by_entry_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty list is nobody."""
    business = UUID(int=5)
    given = {"SMSRETRY_SEND_TO_NUMBERS": " +12125550123,+12125550124 ,", "SMSRETRY_SEND_TO_BUSINESSES": f"{business}"}
    settings = load(monkeypatch, COMPLETE | LISTED | given)
    for phone, whose, may in [
        ("+12125550123", None, True),
        ("+12125550124", None, True),
        ("+12125550125", business, True),
        ("+12125550125", None, False),
        (None, None, False),
        ("", UUID(int=6), False),
    ]:
        assert settings.audience.includes(phone=phone, business_id=whose) is may
    assert settings.audience.told == "texts only 2 numbers and 1 business"
    assert "555012" not in repr(settings) + repr(settings.audience)
    empty = load(monkeypatch, COMPLETE | LISTED).audience
    assert (empty.told, empty.includes(phone="+12125550123", business_id=business)) == ("texts nobody", False)


def test_a_list_of_accounts_that_cannot_be_read_stops_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what needs it waits. It is never shown."""
    settings = load(monkeypatch, COMPLETE | {"TWILIO_ACCOUNTS": "{hush"})
    assert settings.twilio_accounts is not None
    assert "hush" not in repr(settings)


TOGETHER: list[tuple[dict[str, str], str, str]] = [
    # changes to the complete environment, the variable left out, what is said
    ({}, "TWILIO_AUTH_TOKEN", NO_CREDENTIALS),
    ({"TWILIO_AUTH_TOKEN": ""}, "", NO_CREDENTIALS),
    ({"TWILIO_API_KEY_SID": "SK" + "0" * 32}, "TWILIO_AUTH_TOKEN", NO_CREDENTIALS),
    ({"TWILIO_API_KEY_SECRET": "secret"}, "TWILIO_AUTH_TOKEN", NO_CREDENTIALS),
    ({}, "TWILIO_FROM_NUMBER", ONE_SENDER),
    (WITH_SERVICE, "", ONE_SENDER),
    (
        {"TWILIO_ACCOUNTS": "{}", "TWILIO_ACCOUNTS_FILE": "/run/accounts.json"},
        "",
        "Set one of TWILIO_ACCOUNTS and TWILIO_ACCOUNTS_FILE",
    ),
    # One mistake, one complaint: what is malformed is not called missing, or one of two, as well.
    ({"TWILIO_API_KEY_SECRET": "secret", "TWILIO_API_KEY_SID": "no"}, "TWILIO_AUTH_TOKEN", "TWILIO_API_KEY_SID: "),
    ({"TWILIO_MESSAGING_SERVICE_SID": "no"}, "TWILIO_FROM_NUMBER", "TWILIO_MESSAGING_SERVICE_SID: "),
    ({"TWILIO_FROM_NUMBER": "212"}, "", "TWILIO_FROM_NUMBER: "),
]


def test_what_must_be_set_together_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """One set of credentials at least, one sender exactly."""
    for changes, without, complaint in TOGETHER:
        [said] = complaints(monkeypatch, COMPLETE | changes, without)
        assert said.startswith(complaint)


def test_several_troubles_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line each, in the order of the settings."""
    environment = COMPLETE | {"SUPABASE_URL": "nowhere", "TWILIO_ACCOUNT_SID": "AC"}
    said = [line.partition(":")[0] for line in complaints(monkeypatch, environment)]
    assert said == ["SUPABASE_URL", "TWILIO_ACCOUNT_SID"]


def test_the_owners_decisions_are_read_and_have_their_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    """Strict where the law differs between states; ten minutes for the herd, one for slow requests."""
    assert load(monkeypatch, COMPLETE).profile == Profile()
    changed = COMPLETE | {
        "SMSRETRY_IN_DOUBT": "hold",
        "SMSRETRY_QUIET_HOURS_RULES": "federal",
        "SMSRETRY_OPENING_SPREAD_MINUTES": "30",
        "SMSRETRY_CLOSING_GUARD_SECONDS": "300",
    }
    assert load(monkeypatch, changed).profile == Profile(
        in_doubt="hold",
        quiet_hours_rules="federal",
        opening_spread=timedelta(minutes=30),
        closing_guard=timedelta(minutes=5),
    )


def test_longer_timeouts_make_the_guard_at_closing_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that was two minutes on its way had been valid past the end of the permitted hours."""
    slow = {"TWILIO_CONNECT_TIMEOUT_SECONDS": "60", "TWILIO_READ_TIMEOUT_SECONDS": "120"}
    longest = timedelta(seconds=SEND_WITHIN_SECONDS + 60 + 120)
    assert load(monkeypatch, COMPLETE | slow).profile.closing_guard > longest
    cautious = COMPLETE | slow | {"SMSRETRY_CLOSING_GUARD_SECONDS": "300"}
    assert load(monkeypatch, cautious).profile.closing_guard == timedelta(minutes=5)
