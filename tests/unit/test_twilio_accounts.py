"""Which credentials reach which account, and what is said of a list that cannot be read: never a value of it."""

import json

import pytest
from pydantic import SecretStr

from smsretry.adapters.twilio.accounts import Accounts, Login, NoCredentialsError
from smsretry.adapters.twilio.checks import sender_problem
from smsretry.settings import Settings

MAIN, SUB, FOREIGN, THIRD = ("AC" + digit * 32 for digit in "1234")
KEY, SECRET = "SK" + "5" * 32, "hush"
TOKEN, FOREIGN_TOKEN = "parent's-token", "foreign-token"


def accounts(
    listed: object = None, *, token: str | None = TOKEN, key: bool = False
) -> Accounts:
    """Of an environment with this list, token and key."""
    text = (
        listed
        if isinstance(listed, str)
        else json.dumps(listed)
        if listed is not None
        else None
    )
    return Accounts(
        Settings.model_construct(
            twilio_account_sid=MAIN,
            twilio_auth_token=SecretStr(token) if token else None,
            twilio_api_key_sid=KEY if key else None,
            twilio_api_key_secret=SecretStr(SECRET) if key else None,
            twilio_accounts=SecretStr(text) if text else None,
        )
    )


WRONG_ENTRIES: list[object] = [
    {}, "hush", {"auth_tokn": "hush"}, {"auth_token": ""}, {"auth_token": 12345}, {"auth_token": "hush\n"},
    {"auth_token": "hush", "region": "hush"}, {"api_key_sid": KEY}, {"api_key_sid": "hush", "api_key_secret": "hush"},
]  # fmt: skip


def test_a_wrong_entry_holds_its_own_account_and_says_what_is_wrong() -> None:
    """It is not served by the parent's token, and the others are as ever. No value is quoted."""
    for entry in WRONG_ENTRIES:
        registry = accounts({FOREIGN: entry, THIRD: {"auth_token": FOREIGN_TOKEN}})
        with pytest.raises(
            NoCredentialsError, match=f"TWILIO_ACCOUNTS: account {FOREIGN}: must have"
        ) as raised:
            registry.login(FOREIGN)
        assert "hush" not in str(raised.value)
        assert registry.login(THIRD) == Login(THIRD, FOREIGN_TOKEN)
        text = (
            f"{registry} {vars(registry)} {registry.login(THIRD)} {registry.login(SUB)}"
        )
        assert not any(secret in text for secret in (TOKEN, FOREIGN_TOKEN, "hush"))
        assert [(finding.subject, finding.ok) for finding in registry.findings()] == [
            ("TWILIO_ACCOUNTS", False)
        ]


def test_a_list_that_cannot_be_read_stops_no_account_that_needs_none() -> None:
    """The main account and its subaccounts go on; what is wrong is said without a value."""
    for text in ("hush", "[" * 100_000, '["hush"]', '{"hush": {"auth_token": "hush"}}'):
        assert accounts(text).login(SUB) == Login(MAIN, TOKEN)
        [finding] = accounts(text).findings()
        assert not finding.ok
        assert "hush" not in (finding.advice or "")
        with pytest.raises(NoCredentialsError, match="TWILIO_ACCOUNTS: "):
            accounts(text, token=None, key=True).login(FOREIGN)


def test_a_sid_of_another_kind_is_no_sender() -> None:
    """Nothing is asked about it."""
    service, number = "MG" + "6" * 32, "+12025550123"
    assert sender_problem(SUB, service) is None
    assert sender_problem(SUB, number) is None
    for account in ("AC123", "SK" + "1" * 32):
        assert sender_problem(account, number)
    for sent_by in ("AC" + "6" * 32, "PN" + "6" * 32, "2025550123", "+1202555", ""):
        assert sender_problem(SUB, sent_by)
