"""The Twilio stand-in, driven by Twilio's own SDK: what it accepts, refuses, lists, and how it can be made to fail."""

import re
import secrets
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any

import pytest
import requests
from twilio.base.exceptions import TwilioException, TwilioRestException
from twilio.http.http_client import TwilioHttpClient
from twilio.request_validator import RequestValidator
from twilio.rest import Client

from smsretry.local.process.http import LocalServer
from smsretry.local.twilio.faults import (
    AcceptThenDrop,
    AcceptThenWait,
    BrokenAnswer,
    DropUnaccepted,
    Fault,
    FetchError,
    HtmlError,
    JsonError,
    ListError,
    ListLag,
)
from smsretry.local.twilio.journey import usual_journey
from smsretry.local.twilio.ledger import TRIAL_PREFIX
from smsretry.local.twilio.standin import TwilioStandin
from tests.support.waiting import until

TO = "+12025550123"
OTHER = "+12025550124"
SENDER = "+12025550199"
BODY = "Would you leave us a review?"
MESSAGE_PROPERTIES = {
    "account_sid", "api_version", "body", "date_created", "date_sent", "date_updated", "direction", "error_code",
    "error_message", "from", "messaging_service_sid", "num_media", "num_segments", "price", "price_unit", "sid",
    "status", "subresource_uris", "to", "uri",
}  # fmt: skip


class FakeClock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 2, 15, 30, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@dataclass
class World:
    """A running stand-in, and the ways to reach it."""

    standin: TwilioStandin
    url: str
    account_sid: str
    auth_token: str
    service: str
    clock: FakeClock

    def client(self, user: str | None = None, password: str | None = None, *, wait: float = 5) -> Client:
        client = Client(
            user or self.account_sid,
            password or self.auth_token,
            account_sid=self.account_sid,
            http_client=TwilioHttpClient(timeout=wait),
        )
        client.api.base_url = client.messaging.base_url = self.url
        return client

    def send(self, to: str = TO, body: str = BODY, **options: Any) -> Any:
        """One text by the SDK."""
        return self.client().messages.create(to=to, body=body, **(options or {"from_": SENDER}))

    def post(self, form: dict[str, str] | None = None, **options: Any) -> requests.Response:
        """One text without the SDK."""
        form = {"To": TO, "From": SENDER, "Body": BODY} if form is None else form
        return requests.post(self.messages_url, form, auth=(self.account_sid, self.auth_token), timeout=5, **options)

    def get(self, path: str) -> requests.Response:
        return requests.get(self.url + path, auth=(self.account_sid, self.auth_token), timeout=5)

    @property
    def messages_url(self) -> str:
        return f"{self.url}/2010-04-01/Accounts/{self.account_sid}/Messages.json"

    def accepted(self, to: str | None = None) -> int:
        return len(self.standin.ledger.entries(to))


@pytest.fixture(autouse=True)
def _no_detours(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK and requests read these, and would look for the stand-in elsewhere."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("TWILIO_EDGE", raising=False)
    monkeypatch.delenv("TWILIO_REGION", raising=False)


@contextmanager
def running() -> Iterator[World]:
    """A stand-in on a port of its own."""
    account_sid, auth_token, service = f"AC{uuid.uuid4().hex}", secrets.token_hex(16), f"MG{uuid.uuid4().hex}"
    clock = FakeClock()
    standin = TwilioStandin(account_sid=account_sid, auth_token=auth_token, senders={SENDER}, clock=clock)
    standin.accounts.main.services[service] = {SENDER}
    standin.accounts.main.api_keys["SK" + "0" * 32] = "key secret"
    with LocalServer(standin.app) as server:
        yield World(standin, server.url, account_sid, auth_token, service, clock)


@pytest.fixture(scope="module")
def shared() -> Iterator[World]:
    """The stand-in of this file."""
    with running() as world:
        yield world


@pytest.fixture
def world(shared: World) -> World:
    """A stand-in that has accepted nothing and fails in nothing."""
    shared.standin.start_over()
    return shared


def error_code(send: Callable[[], object]) -> tuple[int, int]:
    """The code and HTTP status of the error that Twilio's SDK raises."""
    with pytest.raises(TwilioRestException) as caught:
        send()
    assert caught.value.code is not None
    return caught.value.code, caught.value.status


# Accepting


def test_a_text_from_a_number_is_queued_and_in_the_ledger(world: World) -> None:
    """A plain From gives a queued message whose sender, body and SID the ledger knows."""
    message = world.send(status_callback="https://example.com/s?m=1", validity_period=600, from_=SENDER)

    assert re.fullmatch(r"SM[0-9a-f]{32}", message.sid)
    assert (message.status, message.from_, message.num_segments) == ("queued", SENDER, "1")
    (entry,) = world.standin.ledger.entries(TO)
    assert (entry.sid, entry.to, entry.sender, entry.body) == (message.sid, TO, SENDER, BODY)
    assert (entry.status_callback, entry.validity_period) == ("https://example.com/s?m=1", timedelta(minutes=10))
    assert (entry.messaging_service_sid, entry.accepted_at) == (None, world.clock.now)


def test_a_text_through_a_messaging_service_has_no_sender_yet(world: World) -> None:
    """A messaging service gives an accepted message without a number, without segments and without a currency."""
    content = world.post({"To": TO, "MessagingServiceSid": world.service, "Body": BODY}).json()

    assert (content["status"], content["from"], content["num_segments"]) == ("accepted", None, "0")
    assert (content["messaging_service_sid"], content["price_unit"]) == (world.service, None)
    assert world.standin.ledger.entries()[0].sender is None


def test_a_message_has_exactly_twilios_twenty_properties(world: World) -> None:
    """Names, types and date format are those of Twilio's Message resource."""
    answer = world.post()
    content = answer.json()

    assert answer.status_code == 201
    assert set(content) == MESSAGE_PROPERTIES
    assert (content["num_media"], content["price"], content["price_unit"]) == ("0", None, "USD")
    assert (content["date_sent"], content["error_code"], content["direction"]) == (None, None, "outbound-api")
    assert content["date_created"] == "Mon, 02 Mar 2026 15:30:00 +0000"
    assert parsedate_to_datetime(content["date_created"]) == world.clock.now
    assert world.get(world.messages_url.removeprefix(world.url)).json()["messages"] == [content]


def test_a_trial_account_stores_the_body_with_its_prefix(world: World) -> None:
    """A look-up by body has to know about the prefix."""
    world.standin.accounts.main.is_trial = True
    assert world.send().body == TRIAL_PREFIX + BODY
    assert world.standin.ledger.entries()[0].body == TRIAL_PREFIX + BODY


def test_a_ledger_entry_shows_no_number_and_no_body(world: World) -> None:
    """Entries end up in test output and logs."""
    world.send()

    shown = repr(world.standin.ledger.entries())
    assert TO not in shown
    assert SENDER not in shown
    assert BODY not in shown


# Refusing

FORM = {"To": TO, "From": SENDER, "Body": BODY}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"To": ""}, 21604),
        ({"To": "not a number"}, 21211),
        ({"To": "2025550123"}, 21211),
        ({"To": "+1555"}, 21211),
        ({"From": ""}, 21603),
        ({"From": OTHER}, 21606),
        ({"From": "nonsense"}, 21212),
        ({"Body": ""}, 21602),
        ({"Body": "x" * 1601}, 21617),
        ({"Body": "😀" * 801}, 21617),
        ({"StatusCallback": "not a url"}, 21609),
        ({"StatusCallback": "https://example.com/" + "x" * 4000}, 21609),
        ({"ValidityPeriod": "0"}, 21624),
        ({"ValidityPeriod": "36001"}, 21624),
        ({"ValidityPeriod": "soon"}, 21624),
        ({"From": "", "MessagingServiceSid": "MG123"}, 21705),
        ({"From": "", "MessagingServiceSid": "MG" + "0" * 32}, 21701),
        ({"To": "+15005550001"}, 21211),
    ],
)
def test_a_request_that_breaks_a_rule_is_refused_with_twilios_code(
    world: World, change: dict[str, str], code: int
) -> None:
    """Missing, malformed or foreign parameters create nothing."""
    answer = world.post({name: value for name, value in {**FORM, **change}.items() if value})

    told = answer.json()
    assert (answer.status_code, told["status"], told["code"]) == (400, 400, code)
    assert told["more_info"] == f"https://www.twilio.com/docs/errors/{code}"
    assert world.accepted() == 0


# Credentials and the resources beside messages


def test_wrong_credentials_are_refused(world: World) -> None:
    """A wrong token or an unknown key gets 401 and 20003, and no text."""
    wrong_token = world.client(password="wrong")
    unknown_key = world.client(user="SK" + "1" * 32, password="key secret")

    for client in (wrong_token, unknown_key):
        create = partial(client.messages.create, to=TO, from_=SENDER, body=BODY)
        assert error_code(create) == (20003, 401)
    assert (world.accepted(), world.standin.posts) == (0, 0)


def test_the_account_its_numbers_and_its_services_can_be_looked_up(world: World) -> None:
    """A check of the settings finds what exists, and only that."""
    client = world.client()

    assert client.api.accounts(world.account_sid).fetch().status == "active"
    assert [number.phone_number for number in client.incoming_phone_numbers.list(phone_number=SENDER)] == [SENDER]
    assert client.incoming_phone_numbers.list(phone_number=OTHER) == []
    assert client.messaging.v1.services(world.service).fetch().sid == world.service
    assert error_code(lambda: client.messaging.v1.services("MG" + "0" * 32).fetch()) == (20404, 404)


# Listing


def test_the_list_is_newest_first_and_filters_by_recipient(world: World) -> None:
    """The order and the one filter that reconciliation relies on."""
    first, _other, last = world.send(), world.send(to=OTHER), world.send()

    assert [message.sid for message in world.client().messages.list(to=TO)] == [last.sid, first.sid]
    assert len(world.client().messages.list()) == 3


def test_the_sdk_pages_through_a_long_list(world: World) -> None:
    """Each message comes exactly once, whatever the page size."""
    sids = [world.post().json()["sid"] for _ in range(7)]

    assert [message.sid for message in world.client().messages.list(to=TO, page_size=3)] == sids[::-1]
    assert len(world.client().messages.list(limit=4, page_size=3)) == 4


def test_a_message_that_arrives_between_two_pages_shifts_nothing(world: World) -> None:
    """The next page continues after the last message shown."""
    sids = [world.post().json()["sid"] for _ in range(4)]
    first = world.client().messages.page(page_size=2)
    world.send()
    second = first.next_page()

    assert second is not None
    assert [message.sid for message in (*first, *second)] == sids[::-1]


def test_only_the_recipient_finds_a_text_that_twilio_has_not_sent_yet(world: World) -> None:
    """It has no date, and through a service no sender either: looking by those would call a fresh text absent."""
    sid = world.send(messaging_service_sid=world.service).sid
    now, yesterday = world.clock.now, world.clock.now - timedelta(days=1)

    def found(**filters: Any) -> int:
        return len(world.client().messages.list(**filters))

    filters: list[dict[str, Any]] = [
        {"from_": SENDER},
        {"date_sent": now},
        {"date_sent_after": yesterday},
    ]
    assert [found(to=TO), *(found(**filter_) for filter_ in filters)] == [1, 0, 0, 0]
    world.standin.report(sid, "sent")
    assert [found(to=TO), *(found(**filter_) for filter_ in filters)] == [1, 1, 1, 1]
    assert found(date_sent_before=yesterday) == 0


@pytest.mark.parametrize("query", ["DateSent=yesterday", "PageToken=PASM0"])
def test_a_malformed_list_request_is_refused(world: World, query: str) -> None:
    """A filter that cannot be read is an error, never an empty list."""
    world.send()
    answer = world.get(f"/2010-04-01/Accounts/{world.account_sid}/Messages.json?{query}")

    assert (answer.status_code, answer.json()["code"]) == (400, 20001)


# Failing


@pytest.mark.parametrize(
    ("fault", "code", "status", "accepted"),
    [
        (JsonError(20429, http_status=429), 20429, 429, 0),
        (JsonError(21702, http_status=400), 21702, 400, 0),
        (JsonError(20003, http_status=401), 20003, 401, 0),
        (JsonError(20500, http_status=500), 20500, 500, 0),
        (JsonError(20500, http_status=500, accepted=True), 20500, 500, 1),
        (HtmlError(), 503, 503, 0),
        (HtmlError(http_status=502, accepted=True), 502, 502, 1),
    ],
)
def test_an_error_can_be_made_with_or_without_a_text(
    world: World, fault: Fault, code: int, status: int, accepted: int
) -> None:
    """The sender sees the same 500 whether or not the text went out; only the ledger knows."""
    world.standin.fail(fault)

    assert error_code(world.send) == (code, status)
    assert world.accepted() == accepted
    assert world.send().status == "queued"


def test_a_rate_limit_may_say_when_to_come_back(world: World) -> None:
    """Retry-After is sent in whole seconds, and only if asked for."""
    world.standin.fail(JsonError(20429, http_status=429, retry_after=timedelta(minutes=2)))
    world.standin.fail(JsonError(20429, http_status=429))

    assert world.post().headers["Retry-After"] == "120"
    assert "Retry-After" not in world.post().headers


@pytest.mark.parametrize(("fault", "accepted"), [(DropUnaccepted(), 0), (AcceptThenDrop(), 1)])
def test_a_connection_can_be_dropped_without_an_answer(world: World, fault: Fault, accepted: int) -> None:
    """A reset after the request looks the same whether or not the text went out, and the next request works."""
    world.standin.fail(fault)

    with pytest.raises(requests.ConnectionError, match="Connection aborted"):
        world.send()
    assert (world.accepted(), world.standin.posts) == (accepted, 1)
    assert world.send().status == "queued"


def test_an_answer_can_come_too_late(world: World) -> None:
    """The client gives up, and the text was accepted long before."""
    world.standin.fail(AcceptThenWait(timedelta(seconds=3)))

    with pytest.raises(requests.ReadTimeout):
        world.client(wait=0.3).messages.create(to=TO, from_=SENDER, body=BODY)
    until(world.accepted)
    assert world.accepted() == 1


@pytest.mark.parametrize(
    ("fault", "content_type", "says"),
    [
        (BrokenAnswer.EMPTY, "application/json", ""),
        (BrokenAnswer.HTML, "text/html; charset=utf-8", "not Twilio's JSON"),
        (BrokenAnswer.WITHOUT_SID, "application/json", '"sid":null'),
    ],
)
def test_a_success_may_not_say_what_a_success_should(world: World, fault: Fault, content_type: str, says: str) -> None:
    """The text was accepted, and only the status tells."""
    world.standin.fail(fault)
    answer = world.post()

    assert (answer.status_code, answer.headers["content-type"]) == (201, content_type)
    assert says in answer.text
    assert (not answer.content) == (fault is BrokenAnswer.EMPTY)
    assert world.accepted() == 1


def test_a_success_may_be_cut_short(world: World) -> None:
    """The connection closes in the middle of the body, though the text was accepted."""
    world.standin.fail(BrokenAnswer.TRUNCATED)

    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        world.send()
    assert world.accepted() == 1


def test_a_fault_strikes_as_often_as_told_and_only_its_number(world: World) -> None:
    """Faults are counted, may be for one recipient, and come in the order they were planned."""
    world.standin.fail(JsonError(20429, http_status=429), to=TO, times=2)
    world.standin.fail(JsonError(20500, http_status=500))

    assert error_code(world.send)[0] == 20429
    assert error_code(lambda: world.send(to=OTHER))[0] == 20500
    assert error_code(world.send)[0] == 20429
    assert (world.send().status, world.send(to=OTHER).status) == ("queued", "queued")
    assert world.standin.posts == 5


def test_an_outage_lasts_until_it_is_healed(world: World) -> None:
    """Without a count the fault stays."""
    world.standin.fail(HtmlError(), times=None)
    assert {error_code(world.send) for _ in range(5)} == {(503, 503)}

    world.standin.heal()
    assert world.send().status == "queued"


def test_a_fault_is_not_used_up_by_a_request_twilio_refuses(world: World) -> None:
    """A fault strikes what would otherwise be accepted."""
    world.standin.fail(JsonError(20429, http_status=429))

    assert error_code(lambda: world.send(to="+15005550001"))[0] == 21211
    assert error_code(world.send)[0] == 20429


def test_the_list_can_fail(world: World) -> None:
    """A failed look-up raises another exception than a failed send, and is no empty list."""
    world.send()
    world.standin.fail(ListError(http_status=503, code=20503), to=TO)

    with pytest.raises(TwilioException, match="Unable to fetch page") as caught:
        world.client().messages.list(to=TO)
    assert caught.value.args[1].status_code == 503
    assert len(world.client().messages.list(to=TO)) == 1


def test_the_list_can_lag_behind(world: World) -> None:
    """A text that was accepted stays out of the list for as long as told, by the stand-in's clock."""
    world.standin.fail(ListLag(timedelta(minutes=10)), times=None)
    sid = world.send().sid

    assert world.client().messages.list(to=TO) == []
    assert [entry.sid for entry in world.standin.ledger.entries(TO)] == [sid]
    world.clock.now += timedelta(minutes=10)
    assert [message.sid for message in world.client().messages.list(to=TO)] == [sid]


def test_a_message_is_fetched_as_it_was_reported(world: World) -> None:
    """With its code; an unknown one is not found, and a fetch can fail."""
    sid = world.send().sid
    messages = world.client().messages
    assert (messages(sid).fetch().status, messages(sid).fetch().error_code) == ("queued", None)
    world.standin.report(sid, "undelivered", 30003)
    assert (messages(sid).fetch().status, messages(sid).fetch().error_code) == ("undelivered", 30003)
    assert (world.standin.ledger.arrived(), error_code(messages("SM" + "0" * 32).fetch)[0]) == (0, 20404)
    world.standin.fail(FetchError(), to=TO)
    assert error_code(messages(sid).fetch)[0] == 20500
    world.standin.report(sid, "delivered")
    assert (messages(sid).fetch().status, world.standin.ledger.arrived()) == ("delivered", 1)


def test_messages_fare_as_they_usually_do(world: World) -> None:
    """Most are delivered within a minute, and some are not; what became of one stays."""
    world.standin.journey = usual_journey
    sids = [world.send().sid for _ in range(200)]
    world.clock.now += timedelta(seconds=3)
    messages = world.client().messages
    assert {messages(sid).fetch().status for sid in sids[:20]} == {"sent"}
    world.clock.now += timedelta(minutes=1)
    told = {sid: messages(sid).fetch().status for sid in sids}
    assert world.standin.ledger.arrived() == list(told.values()).count("delivered") > 180
    assert set(told.values()) <= {"delivered", "undelivered", "sent"}
    assert [messages(sid).fetch().status for sid in sids[:20]] == [told[sid] for sid in sids[:20]]


def test_callbacks_and_incoming_texts_are_signed_as_twilio_signs(world: World) -> None:
    """By the SDK's own check, with the URL that the text was sent with."""
    sid = world.send(from_=SENDER, status_callback="https://app.example/twilio?attempt=1").sid
    validator = RequestValidator(world.auth_token)
    callback = world.standin.callback(sid, "undelivered", 30003)
    assert validator.validate(callback.url, callback.form, callback.signature)
    assert (callback.form["MessageStatus"], callback.form["ErrorCode"]) == ("undelivered", "30003")
    assert not validator.validate(callback.url, {**callback.form, "MessageStatus": "delivered"}, callback.signature)
    incoming = world.standin.inbound(
        "https://app.example/twilio", phone=TO, body="stop", to=SENDER, opt_out_type="STOP"
    )
    assert validator.validate(incoming.url, incoming.form, incoming.signature)
    with pytest.raises(ValueError, match="no StatusCallback"):
        world.standin.callback(world.send().sid, "sent")
