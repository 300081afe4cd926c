"""The webhooks that are ready, against the embedded stack: what Twilio signs, and what others try.

One is the package's own. The others are shown in the documents, and run by Node as they stand there.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from twilio.request_validator import RequestValidator

from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.local.stack import SENDER, Stack
from smsretry.local.twilio.callbacks import Callback
from smsretry.local.twilio.faults import AcceptThenDrop
from smsretry.local.twilio.standin import TwilioStandin
from tests.conftest import Business
from tests.e2e.webhook_hosts import BARBER, HOSTS, OTHERS, URL, More, Webhook, in_deno, texted
from tests.integration.hearing import another, consents_of, sends_from
from tests.support.builders import PHONE, run


@pytest.fixture(scope="module", params=HOSTS)
def host(
    request: pytest.FixtureRequest, running_stack: Stack, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Webhook]:
    """Each of them, started once."""
    with request.param(running_stack, tmp_path_factory.mktemp("webhook")) as post:
        yield post


@pytest.fixture
def webhook(host: Webhook, stack: Stack) -> Webhook:
    """It, with a stack that is as good as new."""
    return host


@pytest.fixture
def text(stack: Stack, business: Business, queue: SupabaseQueue) -> UUID:
    """A text that Twilio has, with a status callback; its answer was lost."""
    return in_doubt(business.due_text(), stack, queue)


def in_doubt(row: UUID, stack: Stack, queue: SupabaseQueue) -> UUID:
    """Send a text, and lose the answer."""
    settings = stack.environment() | {"TWILIO_STATUS_CALLBACK_URL": URL}
    stack.twilio.fail(AcceptThenDrop())
    values = {name.lower(): value for name, value in settings.items()}
    with TwilioSender(stack.settings().model_validate(values)) as sender:
        assert run(queue, sender) == ["InDoubt"]
    return row


pytestmark = pytest.mark.filterwarnings("ignore:The '(timeout|verify)' parameter is deprecated:DeprecationWarning")


def test_what_twilio_reports_settles_a_text_in_doubt_and_says_how_far_it_has_come(
    webhook: Webhook, stack: Stack, business: Business, text: UUID
) -> None:
    """In any order, and again. A text of the application's own is heard and changes nothing."""
    [entry] = stack.twilio.ledger.entries()
    callbacks = [stack.twilio.callback(entry.sid, status) for status in ("sent", "delivered", "queued", "sending")]
    assert [webhook(callback) for callback in [*callbacks, *callbacks]] == [204] * 8
    assert (business.row(text)["status"], business.log_of(text)["status"]) == ("completed", "delivered")
    stack.twilio.ledger.put(replace(entry, sid="SM" + "4" * 32, status_callback=URL))
    assert webhook(stack.twilio.callback("SM" + "4" * 32, "undelivered", 30008)) == 204
    assert business.attempts_of(text)[0]["delivery_status"] == "delivered"


def test_a_failure_comes_with_its_code(webhook: Webhook, stack: Stack, business: Business, text: UUID) -> None:
    """As a number."""
    [entry] = stack.twilio.ledger.entries()
    assert webhook(stack.twilio.callback(entry.sid, "undelivered", 30008)) == 204
    [attempt] = business.attempts_of(text)
    assert (attempt["delivery_status"], attempt["delivery_code"]) == ("undelivered", 30008)


def test_what_twilio_did_not_sign_as_it_is_posted_is_refused_and_changes_nothing(
    webhook: Webhook, stack: Stack, business: Business, text: UUID
) -> None:
    """A forged signature, other words, none at all, another account's own; a field more, another path or protocol."""
    [entry] = stack.twilio.ledger.entries()
    genuine = stack.twilio.callback(entry.sid, "undelivered", 30008)
    attempt = genuine.url.partition("attempt=")[2]
    others = TwilioStandin(account_sid="AC" + "9" * 32, auth_token="9" * 32, senders={SENDER})
    others.ledger.put(entry)

    def signed_for(url: str) -> Callback:
        validator = RequestValidator(stack.environment()["TWILIO_AUTH_TOKEN"])
        return replace(genuine, signature=validator.compute_signature(url, genuine.form))

    attempts = [
        *(replace(genuine, signature=forged) for forged in ("forged", "A" * 27 + "=", "")),
        replace(genuine, form=genuine.form | {"MessageStatus": "failed"}),
        replace(genuine, form={}),
        others.callback(entry.sid, "delivered"),
        More(genuine.url, genuine.form, genuine.signature, "MessageStatus=delivered"),
        More(genuine.url, genuine.form, genuine.signature, "X=1"),
        replace(signed_for(f"{URL}?attempt={attempt}&b=1"), url=f"{URL}?b=1&attempt={attempt}"),
        replace(genuine, url=f"{URL}?attempt={attempt}&attempt={attempt}"),
        signed_for(f"{URL}/?attempt={attempt}"),
        signed_for(f"http{URL.removeprefix('https')}?attempt={attempt}"),
        signed_for(f"{URL.replace('app.', 'evil.')}?attempt={attempt}"),
    ]
    before = business.attempts_of(text), business.row(text)
    assert {webhook(callback) for callback in attempts} <= {400, 403}
    assert (business.attempts_of(text), business.row(text)) == before


def test_stop_and_start_that_come_in_are_recorded_whatever_a_text_is_made_of(
    webhook: Webhook, stack: Stack, business: Business
) -> None:
    """With the word of Advanced Opt-Out, by Twilio's keywords, in words of their own; and a START counts once."""
    business.customer()

    def says(body: str, opt_out_type: str | None = None) -> str:
        incoming = stack.twilio.inbound(URL, phone=PHONE, body=body, to=SENDER, opt_out_type=opt_out_type)
        assert webhook(incoming) == 200
        [(consent, _)] = consents_of(business)
        return str(consent)

    for body in ("1 + 1 = 2 & 100%", "%2B%00", "Ёлки 🎄 \u200e", "", "hello\0", "🎄" * 800):
        assert says(body) == "opted_in"
    said = [says("Arrêt", "STOP"), says("help", "HELP"), says("Começar", "START"), says("Thanks & bye"), says("stop")]
    assert said == ["opted_out", "opted_out", "opted_in", "opted_in", "opted_out"]
    in_words = [says("start"), says("Opt-out 🙏"), says("start"), says("please\u200b stop texting me")]
    assert in_words == ["opted_in", "opted_out", "opted_in", "opted_out"]
    assert [says("start"), says("ST\0OP")] == ["opted_in", "opted_out"]
    start = stack.twilio.inbound(URL, phone=PHONE, body="start", to=SENDER)
    for again in (start, stack.twilio.inbound(URL, phone=PHONE, body="stop", to=SENDER), start, start):
        assert webhook(again) == 200
        stack.move_clock(timedelta(minutes=1))
    assert consents_of(business) == [("opted_out", "inbound_stop")], "a signature never expires"


def test_a_stop_to_a_subaccount_is_signed_with_its_own_token_and_counts_at_its_own_business(
    webhook: Webhook, stack: Stack, business: Business
) -> None:
    """The parent's token, a stranger's, and none fit nothing."""
    other = another(business)
    service = "MG" + "1" * 32
    sends_from(business, BARBER, service)
    for shop in (business, other):
        shop.customer()

    def says(account: str, token: str) -> int:
        return webhook(texted("stop", account=account, token=token, to="+12125550190", service=service))

    parent = stack.environment()
    forged = [
        (BARBER, parent["TWILIO_AUTH_TOKEN"]), (parent["TWILIO_ACCOUNT_SID"], OTHERS[BARBER]), ("AC" + "2" * 32, ""),
        ("AC" + "3" * 32, "3" * 32), ("constructor", "function Object() { [native code] }"), ("__proto__", "undefined"),
        ("", ""),
    ]  # fmt: skip
    assert [says(account, token) for account, token in forged] == [403] * len(forged)
    assert says(BARBER, OTHERS[BARBER]) == 200
    assert (consents_of(business), consents_of(other)) == ([("opted_out", "inbound_stop")], [("opted_in", None)])


def test_one_account_needs_no_list_of_tokens(stack: Stack, business: Business, tmp_path: Path) -> None:
    """Its own token is enough."""
    business.customer()
    with in_deno(stack, tmp_path, several=False) as webhook:
        assert webhook(stack.twilio.inbound(URL, phone=PHONE, body="stop", to=SENDER)) == 200
    assert consents_of(business) == [("opted_out", "inbound_stop")]


def test_a_report_settles_no_other_text_than_its_own(
    webhook: Webhook, stack: Stack, business: Business, text: UUID, queue: SupabaseQueue
) -> None:
    """Signed as it must be, with the attempt of another business, or by a business with an account of its own."""
    [entry] = stack.twilio.ledger.entries()
    theirs = TwilioStandin(account_sid=BARBER, auth_token=OTHERS[BARBER], senders={SENDER})
    before = business.attempts_of(text), business.row(text)
    for callback in (entry.status_callback, URL):
        theirs.ledger.put(replace(entry, status_callback=callback))
        assert webhook(theirs.callback(entry.sid, "undelivered", 30006)) == 204
        assert (business.attempts_of(text), business.row(text)) == before
    assert webhook(stack.twilio.callback(entry.sid, "sent")) == 204
    neighbors = in_doubt(another(business).due_text(phone="+12125550177"), stack, queue)
    [attempt] = business.attempts_of(neighbors)
    before = business.attempts_of(neighbors), business.row(neighbors)
    for named, answer in ((attempt["id"], 422), ("x", 204), ("", 204), ("%00", 204)):
        stack.twilio.ledger.put(replace(entry, status_callback=f"{URL}?attempt={named}"))
        assert webhook(stack.twilio.callback(entry.sid, "delivered")) == answer
        assert (business.attempts_of(neighbors), business.row(neighbors)) == before
    theirs.ledger.put(replace(entry, status_callback=URL))
    assert webhook(theirs.callback(entry.sid, "read")) == 204
    assert business.attempts_of(text)[0]["delivery_status"] == "delivered"
