"""Texts go out from the account of their business, with its credentials, and are looked for where they left."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from pydantic import SecretStr

from smsretry import next_retry_delay
from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.local.stack import SENDER, Stack
from smsretry.local.twilio.accounts import Account
from smsretry.local.twilio.faults import AcceptThenDrop
from smsretry.retry.delivery import Report
from smsretry.retry.models import SenderId, Text
from smsretry.retry.outcome import Accepted, NotSent, Rejected
from smsretry.sending.entry import send_sms
from smsretry.settings import Settings
from tests.conftest import Business
from tests.support.builders import PHONE, results_of, run, run_over
from tests.support.senders import open_account, texts_from

NUMBER, OTHER_NUMBER, STRANGERS = "+12025550101", "+12025550102", "+12025550103"
SERVICE, EMPTY = "MG" + "a" * 32, "MG" + "b" * 32
KEY = "SK" + "1" * 32


@pytest.fixture
def connect(settings: Settings) -> Iterator[Callable[..., TwilioSender]]:
    """Connects the production adapter with changed settings."""
    with ExitStack() as open_ones:
        yield lambda **changes: open_ones.enter_context(
            TwilioSender(Settings.model_construct(**{**dict(settings), **changes}))
        )


@pytest.fixture
def dentist(stack: Stack) -> Account:
    """A subaccount, with a messaging service."""
    return open_account(stack, number=NUMBER, services={SERVICE: {NUMBER}, EMPTY: set()})


@pytest.fixture
def stranger(stack: Stack) -> Account:
    """Somebody's own account."""
    return open_account(stack, number=STRANGERS, subaccount=False, api_keys={KEY: "key's"})


def text(account: Account, sent_by: str) -> Text:
    """A text from there."""
    sender = SenderId(account.sid, sent_by)
    return Text(attempt_id=uuid4(), sender=sender, to=PHONE, body="Hello", valid_for=timedelta(hours=1))


BY_KEY = {"twilio_auth_token": None, "twilio_api_key_sid": KEY, "twilio_api_key_secret": SecretStr("key's")}
"""Settings of an environment without a token: it is known at once which accounts they do not reach."""


def listed(**accounts: dict[str, str]) -> str:
    """As in the file of accounts."""
    return json.dumps(accounts)


def test_each_business_texts_from_its_own_account(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, dentist: Account
) -> None:
    """A subaccount by its parent's token; a business without a sender from the environment's."""
    texts_from(business.connection, business.id, dentist.sid, SERVICE)
    other = Business(business.connection, stack.now, id=uuid4()).open()
    row, others = business.due_text(), other.due_text(phone="+12125550124")
    assert run(queue, sender) == ["Sent", "Sent"]
    sent = {entry.to: (entry.account_sid, entry.sent_by) for entry in stack.twilio.ledger.entries()}
    main = stack.twilio.accounts.main.sid
    assert sent == {PHONE: (dentist.sid, SERVICE), "+12125550124": (main, SENDER)}
    assert [business.attempts_of(one)[0]["sent_account"] for one in (row, others)] == [dentist.sid, main]


def test_an_account_without_credentials_holds_its_own_texts_and_says_what_to_do(
    stack: Stack, business: Business, queue: SupabaseQueue, connect: Callable[..., TwilioSender], tmp_path: Path,
    stranger: Account,
) -> None:  # fmt: skip
    """The others' leave. Once the file has them, its texts leave by themselves."""
    texts_from(business.connection, business.id, stranger.sid, STRANGERS)
    other = Business(business.connection, stack.now, id=uuid4()).open()
    row = business.due_text()
    other.due_text(phone="+12125550124")
    file = tmp_path / "accounts.json"
    file.write_text(listed(**{stranger.sid: {"auth_tokn": "a slip"}}))
    results = {one.retry_id: one for one in results_of(run_over(queue, connect(twilio_accounts_file=str(file))))}
    assert sorted(one.fate for one in results.values()) == ["Held", "Sent"]
    assert results[row].why_code == "no_credentials"
    assert results[row].detail.startswith(f"TWILIO_ACCOUNTS_FILE: account {stranger.sid}: must have auth_token")
    assert (business.row(row)["attempt_count"], len(stack.twilio.ledger.entries())) == (0, 1)
    file.write_text(listed(**{stranger.sid: {"api_key_sid": KEY, "api_key_secret": "key's"}}))
    stack.move_clock(timedelta(minutes=16))
    assert run(queue, connect(twilio_accounts_file=str(file))) == ["Sent"]
    assert stack.twilio.ledger.entries()[-1].account_sid == stranger.sid


def test_a_strangers_account_takes_nothing_from_the_parents_token(
    connect: Callable[..., TwilioSender], stranger: Account, dentist: Account
) -> None:
    """Only Twilio knows that it is no subaccount. It costs no attempt, and proves nothing about messages."""
    twilio = connect()
    answer = twilio.send(text(stranger, STRANGERS))
    assert isinstance(answer, Rejected)
    assert (answer.refusal.kind, answer.refusal.certain) == ("account", True)
    assert twilio.what_became_of("SM" + "0" * 32, account=stranger.sid) == Report("denied")
    assert twilio.what_became_of("SM" + "0" * 32, account=dentist.sid) == Report("not kept")
    assert twilio.what_became_of("SM" + "0" * 32, account=None) == Report("not kept")


def test_without_a_token_or_an_entry_nothing_is_asked_and_nothing_is_proved(
    stack: Stack, connect: Callable[..., TwilioSender], dentist: Account
) -> None:
    """An API key serves its own account alone."""
    stack.twilio.accounts.main.api_keys[KEY] = "key's"
    twilio = connect(**BY_KEY)
    why = twilio.cannot_send_for(dentist.sid)
    assert why is not None
    assert why.startswith(f"There are no credentials for account {dentist.sid}")
    assert twilio.send(text(dentist, NUMBER)) == NotSent(why)
    look = twilio.look_up(PHONE, sender=SenderId(dentist.sid, NUMBER), since=stack.now(), at=stack.now())
    assert look is None
    assert twilio.what_became_of("SM" + "0" * 32, account=dentist.sid) == Report("denied")
    assert isinstance(twilio.send(text(stack.twilio.accounts.main, SENDER)), Accepted)


def test_an_api_key_that_may_not_read_its_account_is_as_good_as_a_token(
    stack: Stack, connect: Callable[..., TwilioSender], stranger: Account
) -> None:
    """So it is with a standard key. A message that it does not find is not kept, and doctor has nothing to say."""
    stack.twilio.accounts.main.api_keys[KEY] = "key's"
    stack.twilio.accounts.main.webhooks[SENDER] = "https://app.example.com/sms"
    twilio = connect(**BY_KEY)
    assert twilio.what_became_of("SM" + "0" * 32, account=None) == Report("not kept")
    assert [(one.ok, one.advice) for one in twilio.check()] == [(True, None)] * 2
    del stack.twilio.accounts.main.api_keys[KEY]
    entry = listed(**{stranger.sid: {"api_key_sid": KEY, "api_key_secret": "key's"}})
    twilio = connect(twilio_accounts=SecretStr(entry))
    assert twilio.what_became_of("SM" + "0" * 32, account=stranger.sid) == Report("not kept")
    assert [ok for ok, _ in checked(twilio, stranger, STRANGERS)] == [True, True]


def test_a_text_in_doubt_is_looked_for_in_the_account_that_sent_it(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, dentist: Account
) -> None:
    """Its business has moved to another account meanwhile, whose list knows nothing of it."""
    barber = open_account(stack, number=OTHER_NUMBER)
    texts_from(business.connection, business.id, dentist.sid, NUMBER)
    row = business.due_text()
    stack.twilio.fail(AcceptThenDrop())
    assert run(queue, sender) == ["InDoubt"]
    texts_from(business.connection, business.id, barber.sid, OTHER_NUMBER)
    stack.move_clock(timedelta(minutes=2))
    assert run(queue, sender) == ["Sent"]
    [entry] = stack.twilio.ledger.entries()
    assert (entry.account_sid, business.row(row)["status"]) == (dentist.sid, "completed")


def test_an_account_that_is_out_of_reach_is_no_evidence_that_a_text_is_absent(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, dentist: Account
) -> None:
    """It stays in doubt, however often it is looked for, until the account can be asked."""
    texts_from(business.connection, business.id, dentist.sid, NUMBER)
    business.due_text()
    stack.twilio.fail(AcceptThenDrop())
    assert run(queue, sender) == ["InDoubt"]
    dentist.owner = None
    for _ in range(6):
        stack.move_clock(timedelta(minutes=20))
        assert set(run(queue, sender)) <= {"InDoubt", "Held"}
    dentist.owner = stack.twilio.accounts.main
    stack.move_clock(timedelta(hours=1))
    assert run(queue, sender) == ["Sent"]
    assert len(stack.twilio.ledger.entries()) == 1


def test_a_text_in_doubt_that_cannot_be_looked_for_without_credentials_says_so(
    business: Business, queue: SupabaseQueue, connect: Callable[..., TwilioSender], stack: Stack, stranger: Account
) -> None:
    """Who reads that the list could not be had would look for the trouble at the provider."""
    texts_from(business.connection, business.id, stranger.sid, STRANGERS)
    row = business.due_text()
    entry = listed(**{stranger.sid: {"auth_token": stranger.auth_token}})
    stack.twilio.fail(AcceptThenDrop())
    assert run(queue, connect(twilio_accounts=SecretStr(entry))) == ["InDoubt"]
    stack.move_clock(timedelta(minutes=61))
    assert run(queue, connect(**BY_KEY)) == ["Held"]
    assert f"There are no credentials for account {stranger.sid}" in business.row(row)["why"]
    stack.move_clock(timedelta(minutes=61))
    assert run(queue, connect(twilio_accounts=SecretStr(entry))) == ["Sent"]


def test_an_application_without_credentials_leaves_the_first_send_to_the_workers(
    business: Business, queue: SupabaseQueue, connect: Callable[..., TwilioSender], stack: Stack, stranger: Account
) -> None:
    """It may be that only they have them, and a hold would be a quarter of an hour."""
    texts_from(business.connection, business.id, stranger.sid, STRANGERS)
    log = business.send_log(business.customer())
    result = send_sms(log, queue=queue, sender=connect(**BY_KEY))
    assert (result.fate, result.why_code) == ("GivenBack", "no_credentials")
    stack.move_clock(next_retry_delay(0))
    entry = listed(**{stranger.sid: {"auth_token": stranger.auth_token}})
    assert run(queue, connect(twilio_accounts=SecretStr(entry))) == ["Sent"]


def checked(twilio: TwilioSender, account: Account, sent_by: str) -> list[tuple[bool, str]]:
    """What a check finds: whether it is right, and the advice or the subject."""
    return [(one.ok, one.advice or one.subject) for one in twilio.check_sender(SenderId(account.sid, sent_by))]


def test_a_sender_is_checked_with_what_its_credentials_can_read(
    stack: Stack, connect: Callable[..., TwilioSender], dentist: Account, stranger: Account
) -> None:
    """The account, and then the number, or the service and its registration."""
    parent = connect()
    [active, (ok, unheard)] = checked(parent, dentist, NUMBER)
    assert (active, ok, "a STOP is known to Twilio alone" in unheard) == ((True, f"account {dentist.sid}"), True, True)
    dentist.webhooks[NUMBER] = "https://app.example.com/sms"
    assert checked(parent, dentist, NUMBER) == [(True, f"account {dentist.sid}"), (True, "number …0101")]
    [active, service] = checked(parent, dentist, SERVICE)
    assert (active, service[0]) == ((True, f"account {dentist.sid}"), True)
    assert "its numbers and registration are shown only to the account's own credentials" in service[1]
    assert "does not own it" in checked(parent, dentist, OTHER_NUMBER)[1][1]
    [(ok, advice)] = checked(parent, stranger, STRANGERS)
    assert (ok, "any other account needs an entry in TWILIO_ACCOUNTS" in advice) == (False, True)
    own = connect(twilio_accounts=SecretStr(listed(**{dentist.sid: {"auth_token": dentist.auth_token}})))
    (active, (ok, advice)) = checked(own, dentist, SERVICE)
    assert (active[0], ok, "no A2P campaign" in advice) == (True, True, True)
    dentist.campaigns[SERVICE] = ["IN_PROGRESS"]
    assert "its A2P campaign is IN_PROGRESS" in checked(own, dentist, SERVICE)[1][1]
    dentist.campaigns[SERVICE] = ["VERIFIED"]
    assert "a STOP is known to Twilio alone" in checked(own, dentist, SERVICE)[1][1]
    dentist.webhooks[SERVICE] = "https://app.example.com/sms"
    assert checked(own, dentist, SERVICE)[1] == (True, f"messaging service {SERVICE}")
    (ok, advice) = checked(own, dentist, EMPTY)[1]
    assert (ok, "it has no number that can text" in advice) == (False, True)
    assert not checked(own, dentist, "MG" + "c" * 32)[1][0]
    dentist.status = "suspended"
    assert checked(parent, dentist, NUMBER) == [(False, "the account is suspended: see the Twilio console")]
    assert "refused (Twilio 20003" in checked(own, dentist, SERVICE)[0][1]


def test_what_a_service_texts_from_decides_what_is_asked_of_it(
    stack: Stack, connect: Callable[..., TwilioSender], dentist: Account
) -> None:
    """A short code is a sender, too, and a toll-free number needs no campaign. A number without SMS is none."""
    own = connect(twilio_accounts=SecretStr(listed(**{dentist.sid: {"auth_token": dentist.auth_token}})))
    fine = (True, f"messaging service {EMPTY}")
    dentist.webhooks[EMPTY] = "https://app.example.com/sms"
    dentist.short_codes[EMPTY] = ["12345"]
    assert checked(own, dentist, EMPTY)[1] == fine
    del dentist.short_codes[EMPTY]
    dentist.services[EMPTY] = {"+18885550100"}
    assert checked(own, dentist, EMPTY)[1] == fine
    dentist.voice_only.add("+18885550100")
    (ok, advice) = checked(own, dentist, EMPTY)[1]
    assert (ok, "it has no number that can text" in advice) == (False, True)


def test_a_trial_account_and_a_number_without_sms_are_told(
    stack: Stack, connect: Callable[..., TwilioSender], dentist: Account
) -> None:
    """A trial is a warning: whoever tries it out knows."""
    dentist.is_trial = True
    dentist.voice_only.add(NUMBER)
    [(active, trial), (ok, advice)] = checked(connect(), dentist, NUMBER)
    assert (active, trial.startswith("is a trial")) == (True, True)
    assert (ok, advice.startswith("cannot text")) == (False, True)
