"""The Twilio stand-in, driven by Twilio's own SDK: what it accepts, refuses, lists, and how it can be made to fail."""

import re
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final

import pytest
import requests
from twilio.base.exceptions import TwilioException, TwilioRestException
from twilio.http.http_client import TwilioHttpClient
from twilio.request_validator import RequestValidator
from twilio.rest import Client

from smsretry.local.process.http import LocalServer
from smsretry.local.twilio.accounts import Account
from smsretry.local.twilio.faults import (
    AcceptThenDrop,
    AcceptThenWait,
    BrokenAnswer,
    DropUnaccepted,
    FetchError,
    HtmlError,
    JsonError,
    ListError,
    ListLag,
    SendFault,
)
from smsretry.local.twilio.journey import usual_journey
from smsretry.local.twilio.ledger import TRIAL_PREFIX
from smsretry.local.twilio.standin import TwilioStandin
from tests.support.waiting import until

TO, OTHER = "+12025550123", "+12025550124"
BODY: Final = "Would you leave us a review?"
NUMBERS: Final = {
    "parent": "+12025550100", "dentist": "+12025550101", "barber": "+12025550102", "stranger": "+12025550103",
}  # fmt: skip
SENDER: Final = NUMBERS["parent"]
SERVICE, EMPTY = "MG" + "a" * 32, "MG" + "b" * 32
KEY: Final = "SK" + "1" * 32
MESSAGE_PROPERTIES: Final = {
    "account_sid", "api_version", "body", "date_created", "date_sent", "date_updated", "direction", "error_code",
    "error_message", "from", "messaging_service_sid", "num_media", "num_segments", "price", "price_unit", "sid",
    "status", "subresource_uris", "to", "uri",
}  # fmt: skip


@dataclass
class World:
    """A parent account, its two subaccounts and a stranger, and the ways to reach them."""

    url: str = ""
    now: datetime = datetime(2026, 3, 2, 15, 30, tzinfo=UTC)
    of: dict[str, Account] = field(default_factory=dict)

    def __post_init__(self) -> None:
        sid = f"AC{uuid.uuid4().hex}"
        self.twilio = TwilioStandin(
            account_sid=sid, auth_token="parent's", senders={SENDER}, clock=lambda: self.now
        )  # fmt: skip
        parent = self.of["parent"] = self.twilio.accounts.main
        parent.api_keys[KEY] = "key's"
        for name in ("dentist", "barber", "stranger"):
            owner = None if name == "stranger" else parent
            account = Account(sid=f"AC{uuid.uuid4().hex}", auth_token=f"{name}'s", numbers={NUMBERS[name]}, owner=owner)
            self.of[name] = self.twilio.accounts.add(account)
        self.of["dentist"].services = {SERVICE: {NUMBERS["dentist"]}, EMPTY: set()}

    def client(self, whose: str = "parent", login: str | None = None, *, wait: float = 5) -> Client:
        """A client of that account, with its own credentials or those of `login`."""
        user = KEY if login == "key" else self.of[login or whose].sid
        client = Client(user, f"{login or whose}'s", self.of[whose].sid, http_client=TwilioHttpClient(timeout=wait))
        client.api.base_url = client.messaging.base_url = self.url
        return client

    def send(self, whose: str = "parent", login: str | None = None, *, to: str = TO, **options: Any) -> Any:
        """One text by the SDK, from the account's number or from the sender among the options."""
        sender = {} if {"from_", "messaging_service_sid"} & options.keys() else {"from_": NUMBERS[whose]}
        return self.client(whose, login).messages.create(to=to, body=BODY, **sender, **options)

    def listed(self, **filters: Any) -> list[str]:
        """The SIDs that a list of the parent's shows."""
        return [str(message.sid) for message in self.client().messages.list(**filters)]

    def post(self, whose: str = "parent", **form: str) -> requests.Response:
        """One text without the SDK."""
        account = self.of[whose]
        given = {"To": TO, "From": NUMBERS[whose], "Body": BODY} | form
        url = f"{self.url}/2010-04-01/Accounts/{account.sid}/Messages.json"
        return requests.post(url, {k: v for k, v in given.items() if v}, auth=(account.sid, f"{whose}'s"), timeout=5)

    def accepted(self, to: str | None = None) -> int:
        """How many messages are in the ledger."""
        return len(self.twilio.ledger.entries(to))


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Running. Without what the SDK and requests read, and would look for the stand-in elsewhere."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for name in ("TWILIO_EDGE", "TWILIO_REGION"):
        monkeypatch.delenv(name, raising=False)
    world = World()
    with LocalServer(world.twilio.app) as server:
        world.url = server.url
        yield world


def refusal(send: Callable[[], object]) -> tuple[int | None, int]:
    """The code and HTTP status of the error that Twilio's SDK raises."""
    with pytest.raises(TwilioRestException) as caught:
        send()
    return caught.value.code, caught.value.status


# Accepting and refusing


def test_a_text_from_a_number_is_queued_and_in_the_ledger(world: World) -> None:
    """With exactly Twilio's twenty properties. What a test prints of an entry has no number and no body."""
    content = world.post(StatusCallback="https://example.com/s?m=1", ValidityPeriod="600").json()
    assert set(content) == MESSAGE_PROPERTIES
    assert re.fullmatch(r"SM[0-9a-f]{32}", content["sid"])
    assert (content["status"], content["from"], content["num_segments"]) == ("queued", SENDER, "1")
    assert content["date_created"] == "Mon, 02 Mar 2026 15:30:00 +0000"
    [entry] = world.twilio.ledger.entries(TO)
    assert (entry.sid, entry.sender, entry.body, entry.accepted_at) == (content["sid"], SENDER, BODY, world.now)
    assert (entry.status_callback, entry.validity_period) == ("https://example.com/s?m=1", timedelta(minutes=10))
    assert not [word for word in (TO, SENDER, BODY) if word in repr(entry)]
    world.of["parent"].is_trial = True
    assert world.send().body == TRIAL_PREFIX + BODY


def test_a_text_through_a_messaging_service_has_no_sender_yet(world: World) -> None:
    """Nor a date: looking by those would call a fresh text absent. Only its recipient finds it."""
    sid = world.send("dentist", messaging_service_sid=SERVICE).sid
    messages = world.client("dentist").messages
    told = messages(sid).fetch()
    assert (told.status, told.from_, told.num_segments, told.price_unit) == ("accepted", None, "0", None)
    yesterday, number = world.now - timedelta(days=1), NUMBERS["dentist"]
    by: list[dict[str, Any]] = [{"from_": number}, {"date_sent": world.now}, {"date_sent_after": yesterday}]
    assert [len(messages.list(**one)) for one in ({"to": TO}, *by)] == [1, 0, 0, 0]
    world.twilio.report(sid, "sent")
    assert [len(messages.list(**one)) for one in ({"to": TO}, *by, {"date_sent_before": yesterday})] == [1, 1, 1, 1, 0]


BREACHES: Final = [
    ({"To": ""}, 21604),
    ({"To": "not a number"}, 21211),
    ({"To": "2025550123"}, 21211),
    ({"To": "+15005550001"}, 21211),
    ({"From": ""}, 21603),
    ({"From": OTHER}, 21606),
    ({"From": NUMBERS["dentist"]}, 21660),
    ({"From": "nonsense"}, 21212),
    ({"From": "", "MessagingServiceSid": "MG123"}, 21705),
    ({"From": "", "MessagingServiceSid": SERVICE}, 21701),
    ({"Body": ""}, 21602),
    ({"Body": "😀" * 801}, 21617),
    ({"StatusCallback": "not a url"}, 21609),
    ({"StatusCallback": "https://example.com/" + "x" * 4000}, 21609),
    ({"ValidityPeriod": "36001"}, 21624),
    ({"ValidityPeriod": "soon"}, 21624),
]
"""What is wrong with a request, and Twilio's code. SERVICE is another account's."""


def test_a_request_that_breaks_a_rule_is_refused_with_twilios_code(world: World) -> None:
    """Missing, malformed or foreign parameters create nothing, and use up no fault."""
    world.twilio.fail(JsonError(20429, http_status=429))
    for form, code in BREACHES:
        answer = world.post(**form)
        assert (answer.status_code, answer.json()["code"]) == (400, code), form
    assert world.post("dentist", From="", MessagingServiceSid=EMPTY).json()["code"] == 21704
    assert world.accepted() == 0
    assert refusal(world.send) == (20429, 429)


# Accounts

REACHES: Final = [
    # credentials, account, whether they reach its messages
    ("parent", "parent", True),
    ("parent", "dentist", True),
    ("dentist", "dentist", True),
    ("key", "parent", True),
    ("parent", "stranger", False),
    ("dentist", "parent", False),
    ("dentist", "barber", False),
    ("stranger", "dentist", False),
    ("key", "dentist", False),
]


def test_who_reaches_whose_messages(world: World) -> None:
    """A parent's token those of its subaccounts, a key those of one account, nobody a stranger's; wrong ones none."""
    for login, account, reaches in REACHES:
        before = world.accepted()
        if reaches:
            assert world.send(account, login).account_sid == world.of[account].sid
        else:
            assert refusal(partial(world.send, account, login)) == (20404, 404)
        assert world.accepted() == before + reaches
    posts = world.twilio.posts
    world.of["dentist"].auth_token = "another"
    assert refusal(partial(world.send, "dentist")) == (20003, 401)
    assert world.twilio.posts == posts


def test_an_account_is_shown_only_its_own(world: World) -> None:
    """Neither in a list nor by its SID does the parent see a subaccount's message, nor its messaging services."""
    sid = world.send("dentist").sid
    assert [one.sid for one in world.client("dentist").messages.list(to=TO)] == [sid]
    for other in ("parent", "barber", "stranger"):
        assert world.client(other).messages.list(to=TO) == []
        assert refusal(world.client(other).messages(sid).fetch) == (20404, 404)
    world.of["dentist"].campaigns[SERVICE] = ["IN_PROGRESS"]
    services = world.client("dentist").messaging.v1.services
    assert [one.phone_number for one in services(SERVICE).phone_numbers.list()] == [NUMBERS["dentist"]]
    assert [one.campaign_status for one in services(SERVICE).us_app_to_person.list()] == ["IN_PROGRESS"]
    assert refusal(world.client("dentist", "parent").messaging.v1.services(SERVICE).fetch) == (20404, 404)
    owned = world.client().incoming_phone_numbers
    assert [len(owned.list(phone_number=number)) for number in (SENDER, NUMBERS["dentist"])] == [1, 0]


def test_a_suspended_account_sends_nothing_and_no_other_notices(world: World) -> None:
    """Its own credentials are refused; the parent may still read what it is. A suspended parent takes all with it."""
    world.of["dentist"].status = "suspended"
    assert refusal(partial(world.send, "dentist", "parent")) == (20005, 403)
    assert refusal(partial(world.send, "dentist")) == (20003, 401)
    assert world.client().api.v2010.accounts(world.of["dentist"].sid).fetch().status == "suspended"
    assert world.send("barber").sid
    world.of["parent"].status = "suspended"
    assert refusal(partial(world.send, "barber")) == (20003, 401)
    assert world.send("stranger").sid


def test_what_carriers_do_not_take_is_told_after_it_was_accepted(world: World) -> None:
    """A number that is not registered, and the segment above a day of Pacific time."""
    dentist, barber = world.of["dentist"], world.of["barber"]
    barber.refused_by_carriers[NUMBERS["barber"]] = 30034
    dentist.segments_per_day[NUMBERS["dentist"]] = 2

    def fate(whose: str) -> int | None:
        code: int | None = world.client(whose).messages(world.send(whose).sid).fetch().error_code
        return code

    assert fate("barber") == 30034
    assert [fate("dentist") for _ in range(3)] == [None, None, 30023]
    world.now = datetime(2026, 3, 3, 7, 59, tzinfo=UTC)
    assert fate("dentist") == 30023
    world.now = datetime(2026, 3, 3, 8, 0, tzinfo=UTC)
    assert fate("dentist") is None


def test_callbacks_and_incoming_texts_are_signed_by_the_account_that_owns_the_message(world: World) -> None:
    """By the SDK's own check, with the URL that the text was sent with, and with the service of the number."""
    url = "https://app.example/twilio?attempt=1"
    sid = world.send("dentist", messaging_service_sid=SERVICE, status_callback=url).sid
    callback = world.twilio.callback(sid, "undelivered", 30003)
    incoming = world.twilio.inbound(url, phone=TO, body="STOP", to=NUMBERS["dentist"], opt_out_type="STOP")
    assert (callback.form["MessageStatus"], callback.form["ErrorCode"]) == ("undelivered", "30003")
    for posted in (callback, incoming):
        assert (posted.form["AccountSid"], posted.form["MessagingServiceSid"]) == (world.of["dentist"].sid, SERVICE)
        assert RequestValidator("dentist's").validate(posted.url, posted.form, posted.signature)
        assert not RequestValidator("parent's").validate(posted.url, posted.form, posted.signature)
        assert not RequestValidator("dentist's").validate(posted.url, posted.form | {"To": OTHER}, posted.signature)
    with pytest.raises(ValueError, match="no StatusCallback"):
        world.twilio.callback(world.send().sid, "sent")


# Listing and fetching


def test_the_list_is_newest_first_filters_by_recipient_and_comes_in_pages(world: World) -> None:
    """Each message once, whatever the page's size, also if another one arrives between two pages."""
    sids = [world.post().json()["sid"] for _ in range(5)]
    world.send(to=OTHER)
    assert world.listed(to=TO, page_size=2) == sids[::-1]
    assert (len(world.listed()), len(world.listed(limit=4, page_size=3))) == (6, 4)
    first = world.client().messages.page(to=TO, page_size=3)
    world.send()
    second = first.next_page()
    assert second is not None
    assert [message.sid for message in (*first, *second)] == sids[::-1]
    for query in ("DateSent=yesterday", "PageToken=PASM0"):
        parent = world.of["parent"]
        url = f"{world.url}/2010-04-01/Accounts/{parent.sid}/Messages.json?{query}"
        answer = requests.get(url, auth=(parent.sid, parent.auth_token), timeout=5)
        assert (answer.status_code, answer.json()["code"]) == (400, 20001), "never an empty list"


def test_a_message_is_fetched_as_it_was_reported(world: World) -> None:
    """With its code; an unknown one is not found, and a fetch can fail."""
    sid = world.send().sid
    messages = world.client().messages
    for status, code, arrived in (("queued", None, 0), ("undelivered", 30003, 0), ("delivered", None, 1)):
        if status != "queued":
            world.twilio.report(sid, status, code)
        assert (messages(sid).fetch().status, messages(sid).fetch().error_code) == (status, code)
        assert world.twilio.ledger.arrived() == arrived
    assert refusal(messages("SM" + "0" * 32).fetch) == (20404, 404)
    world.twilio.fail(FetchError(), to=TO)
    assert refusal(messages(sid).fetch) == (20500, 500)


def test_messages_fare_as_they_usually_do(world: World) -> None:
    """Most are delivered within a minute, and some are not; what became of one stays."""
    world.twilio.journey = usual_journey
    sids = [world.post().json()["sid"] for _ in range(60)]
    world.now += timedelta(seconds=3)
    assert {message.status for message in world.client().messages.list()} == {"sent"}
    world.now += timedelta(minutes=1)
    told = {message.sid: message.status for message in world.client().messages.list()}
    assert world.twilio.ledger.arrived() == list(told.values()).count("delivered") > 50
    assert world.client().messages(sids[0]).fetch().status == told[sids[0]]


# Failing

ERRORS: Final[list[tuple[SendFault, tuple[int, int], int]]] = [
    (JsonError(20429, http_status=429), (20429, 429), 0),
    (JsonError(20500, http_status=500), (20500, 500), 0),
    (JsonError(20500, http_status=500, accepted=True), (20500, 500), 1),
    (HtmlError(), (503, 503), 0),
    (HtmlError(http_status=502, accepted=True), (502, 502), 1),
]


def test_an_error_can_be_made_with_or_without_a_text(world: World) -> None:
    """The sender sees the same 500 whether or not the text went out; only the ledger knows."""
    for fault, seen, accepted in ERRORS:
        world.twilio.ledger.clear()
        world.twilio.fail(fault)
        assert refusal(world.send) == seen
        assert world.accepted() == accepted
    world.twilio.fail(JsonError(20429, http_status=429, retry_after=timedelta(minutes=2)))
    assert [world.post().headers.get("Retry-After") for _ in range(2)] == ["120", None]


def test_an_answer_can_be_lost_late_or_broken(world: World) -> None:
    """The text was accepted, but for one of them; what the client has of it is no SID."""
    lost: list[tuple[SendFault, type[Exception], int]] = [
        (DropUnaccepted(), requests.ConnectionError, 0),
        (AcceptThenDrop(), requests.ConnectionError, 1),
        (BrokenAnswer.TRUNCATED, requests.exceptions.ChunkedEncodingError, 1),
    ]
    for fault, error, accepted in lost:
        world.twilio.ledger.clear()
        world.twilio.fail(fault)
        with pytest.raises(error):
            world.send()
        assert world.accepted() == accepted
    unreadable = {BrokenAnswer.EMPTY: "", BrokenAnswer.HTML: "<html>", BrokenAnswer.WITHOUT_SID: "null"}
    for broken, says in unreadable.items():
        world.twilio.fail(broken)
        answer = world.post()
        assert (answer.status_code, bool(answer.text)) == (201, bool(says))
        assert says in answer.text
    world.twilio.ledger.clear()
    world.twilio.fail(AcceptThenWait(timedelta(seconds=3)))
    with pytest.raises(requests.ReadTimeout):
        world.client(wait=0.3).messages.create(to=TO, from_=SENDER, body=BODY)
    until(world.accepted)
    assert world.send().status == "queued"


def test_a_fault_strikes_as_often_as_told_and_only_its_number(world: World) -> None:
    """In the order in which they were planned; without a count until it is healed."""
    world.twilio.fail(JsonError(20429, http_status=429), to=TO, times=2)
    world.twilio.fail(JsonError(20500, http_status=500))
    assert [refusal(partial(world.send, to=to))[0] for to in (TO, OTHER, TO)] == [20429, 20500, 20429]
    assert (world.send().status, world.send(to=OTHER).status, world.twilio.posts) == ("queued", "queued", 5)
    world.twilio.fail(HtmlError(), times=None)
    assert {refusal(world.send) for _ in range(3)} == {(503, 503)}
    world.twilio.heal()
    assert world.send().status == "queued"


def test_the_list_can_fail_or_lag_behind(world: World) -> None:
    """Another exception than a failed send, and no empty list; or one without what is too new."""
    sid = world.send().sid
    world.twilio.fail(ListError(http_status=503, code=20503), to=TO)
    with pytest.raises(TwilioException, match="Unable to fetch page") as caught:
        world.listed(to=TO)
    assert caught.value.args[1].status_code == 503
    world.twilio.fail(ListLag(timedelta(minutes=10)), times=None)
    assert world.listed(to=TO) == []
    world.now += timedelta(minutes=10)
    assert world.listed(to=TO) == [sid]
