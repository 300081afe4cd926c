"""Which credentials reach which account, and what is said of a list that cannot be read: never a value of it."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from smsretry.adapters.twilio.accounts import Accounts, Login, NoCredentialsError
from smsretry.adapters.twilio.checks import sender_problem
from smsretry.settings import Settings

MAIN, SUB, FOREIGN, THIRD = ("AC" + digit * 32 for digit in "1234")
KEY, SECRET = "SK" + "5" * 32, "hush"
TOKEN, FOREIGN_TOKEN = "parent's-token", "foreign-token"


def accounts(
    listed: object = None, *, token: str | None = TOKEN, key: bool = False, file: str | None = None
) -> Accounts:
    """Of an environment with this list, token and key."""
    text = listed if isinstance(listed, str) else json.dumps(listed) if listed is not None else None
    return Accounts(
        Settings.model_construct(
            twilio_account_sid=MAIN,
            twilio_auth_token=SecretStr(token) if token else None,
            twilio_api_key_sid=KEY if key else None,
            twilio_api_key_secret=SecretStr(SECRET) if key else None,
            twilio_accounts=SecretStr(text) if text else None,
            twilio_accounts_file=file,
        )
    )


def test_the_parents_token_serves_its_subaccounts_and_its_key_serves_itself() -> None:
    """With both, the key is for the main account's own texts."""
    assert accounts().login(MAIN) == Login(MAIN, TOKEN)
    assert accounts(key=True).login(MAIN) == Login(KEY, SECRET)
    assert accounts(key=True).login(SUB) == Login(MAIN, TOKEN)
    with pytest.raises(NoCredentialsError, match=rf"no credentials for account {SUB}: add them to TWILIO_ACCOUNTS"):
        accounts(token=None, key=True).login(SUB)


def test_an_accounts_own_credentials_come_before_the_parents() -> None:
    """They reach more than its messages. Those of the main account are variables of their own."""
    listed = {
        FOREIGN: {"auth_token": FOREIGN_TOKEN},
        THIRD: {"api_key_sid": KEY, "api_key_secret": SECRET},
        MAIN: {"auth_token": "another"},
    }
    read = accounts(listed)
    assert read.login(FOREIGN) == read.own(FOREIGN) == Login(FOREIGN, FOREIGN_TOKEN)
    assert read.login(THIRD) == Login(KEY, SECRET)
    assert read.login(MAIN) == Login(MAIN, TOKEN)
    assert (read.own(SUB), read.login(SUB)) == (None, Login(MAIN, TOKEN))
    [finding] = read.findings()
    assert (finding.subject, finding.ok) == ("TWILIO_ACCOUNTS", True)
    assert f"an entry for {MAIN}, which is not used" in (finding.advice or "")


WRONG_ENTRIES: list[object] = [
    {},
    "hush",
    {"auth_tokn": "hush"},
    {"auth_token": ""},
    {"auth_token": 12345},
    {"auth_token": "hush\n"},
    {"auth_token": "hush", "region": "hush"},
    {"api_key_sid": KEY},
    {"api_key_sid": "hush", "api_key_secret": "hush"},
]


@pytest.mark.parametrize("entry", WRONG_ENTRIES, ids=str)
def test_a_wrong_entry_holds_its_own_account_and_says_what_is_wrong(entry: object) -> None:
    """It is not served by the parent's token, and the others are as ever. No value is quoted."""
    read = accounts({FOREIGN: entry, THIRD: {"auth_token": FOREIGN_TOKEN}})
    with pytest.raises(NoCredentialsError) as raised:
        read.login(FOREIGN)
    assert str(raised.value).startswith(f"TWILIO_ACCOUNTS: account {FOREIGN}: must have auth_token, or api_key_sid")
    assert "hush" not in str(raised.value)
    assert read.login(THIRD) == Login(THIRD, FOREIGN_TOKEN)
    assert [finding.advice for finding in read.findings()] == [str(raised.value).removeprefix("TWILIO_ACCOUNTS: ")]


WRONG_LISTS = [
    ("hush", "must be an object of JSON like"),
    ("[" * 100_000, "must be an object of JSON like"),
    ('["hush"]', "must be an object of JSON like"),
    ('{"hush": {"auth_token": "hush"}}', "has a name that is no account's SID"),
]


@pytest.mark.parametrize(("text", "said"), WRONG_LISTS, ids=["words", "deep", "a list", "a name"])
def test_a_list_that_cannot_be_read_stops_no_account_that_needs_none(text: str, said: str) -> None:
    """The main account and its subaccounts go on; what is wrong is said without a value."""
    assert accounts(text).login(SUB) == Login(MAIN, TOKEN)
    [finding] = accounts(text).findings()
    assert (finding.ok, (finding.advice or "").startswith(said)) == (False, True)
    assert "hush" not in (finding.advice or "")
    with pytest.raises(NoCredentialsError, match=f"TWILIO_ACCOUNTS: {said}"):
        accounts(text, token=None, key=True).login(FOREIGN)


def test_a_file_is_read_by_each_run(tmp_path: Path) -> None:
    """To rotate a secret is to change it. A file that is not there is said to be so."""
    file = tmp_path / "accounts.json"
    for token in ("old", "new"):
        file.write_text(json.dumps({FOREIGN: {"auth_token": token}}))
        assert accounts(file=str(file)).login(FOREIGN) == Login(FOREIGN, token)
    file.unlink()
    [finding] = accounts(file=str(file)).findings()
    assert (finding.subject, finding.advice) == (
        "TWILIO_ACCOUNTS_FILE", "the file cannot be read (FileNotFoundError)",
    )  # fmt: skip


def test_no_secret_is_in_a_repr() -> None:
    """Nor in that of what holds one."""
    read = accounts({FOREIGN: {"auth_token": "hush"}}, token="hush", key=True)
    shown: list[Any] = [read, vars(read), read.login(FOREIGN), read.login(SUB), read.login(MAIN)]
    assert not any("hush" in repr(one) for one in shown)


SENDERS = [
    (SUB, "MG" + "6" * 32, None),
    (SUB, "+12025550123", None),
    ("AC123", "+12025550123", "An account's SID is AC"),
    ("SK" + "1" * 32, "+12025550123", "An account's SID is AC"),
    (SUB, "AC" + "6" * 32, "A sender is a messaging service's SID"),
    (SUB, "PN" + "6" * 32, "A sender is a messaging service's SID"),
    (SUB, "2025550123", "A sender is a messaging service's SID"),
    (SUB, "+1202555", "A sender is a messaging service's SID"),
    (SUB, "", "A sender is a messaging service's SID"),
]


@pytest.mark.parametrize(("account", "sent_by", "problem"), SENDERS)
def test_a_sid_of_another_kind_is_no_sender(account: str, sent_by: str, problem: str | None) -> None:
    """Nothing is asked about it."""
    said = sender_problem(account, sent_by)
    assert (said or "").startswith(problem) if problem else said is None
