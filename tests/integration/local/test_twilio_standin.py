"""The Twilio stand-in, driven by Twilio's own SDK: what it accepts, refuses and lists.

How it fails is tried by whoever must bear it: integration/doubt, integration/delivery, integration/worker.
What it signs is checked by testing/test_stack.py and e2e/test_webhooks.py.
"""

import re
import uuid
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
import requests
from twilio.base.exceptions import TwilioRestException
from twilio.http.http_client import TwilioHttpClient
from twilio.rest import Client

from smsretry.local.process.http import LocalServer
from smsretry.local.twilio.accounts import Account
from smsretry.local.twilio.faults import JsonError
from smsretry.local.twilio.standin import TwilioStandin
from tests.support.records import Record, columns

TO, OTHER = "+12025550123", "+12025550124"
BODY = "Would you leave us a review?"
NUMBERS = {
    "parent": "+12025550100", "dentist": "+12025550101", "barber": "+12025550102", "stranger": "+12025550103",
}  # fmt: skip
SENDER = NUMBERS["parent"]
SERVICE, EMPTY = "MG" + "a" * 32, "MG" + "b" * 32
KEY = "SK" + "1" * 32
MESSAGE_PROPERTIES = {
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
            account = Account(
                sid=f"AC{uuid.uuid4().hex}",
                auth_token=f"{name}'s",
                numbers={NUMBERS[name]},
                owner=owner,
            )
            self.of[name] = self.twilio.accounts.add(account)
        self.of["dentist"].services = {SERVICE: {NUMBERS["dentist"]}, EMPTY: set()}

    def client(self, whose: str = "parent", login: str | None = None) -> Client:
        """A client of that account, with its own credentials or those of `login`."""
        user = KEY if login == "key" else self.of[login or whose].sid
        client = Client(
            user,
            f"{login or whose}'s",
            self.of[whose].sid,
            http_client=TwilioHttpClient(timeout=5),
        )
        client.api.base_url = client.messaging.base_url = self.url
        return client

    def send(
        self,
        whose: str = "parent",
        login: str | None = None,
        *,
        to: str = TO,
        **options: Any,
    ) -> Any:
        """One text by the SDK, from the account's number or from the sender among the options."""
        sender = (
            {}
            if {"from_", "messaging_service_sid"} & options.keys()
            else {"from_": NUMBERS[whose]}
        )
        return self.client(whose, login).messages.create(
            to=to, body=BODY, **sender, **options
        )

    def listed(self, **filters: Any) -> list[str]:
        """The SIDs that a list of the parent's shows."""
        return [str(message.sid) for message in self.client().messages.list(**filters)]

    def post(self, whose: str = "parent", **form: str) -> requests.Response:
        """One text without the SDK."""
        account = self.of[whose]
        given = {"To": TO, "From": NUMBERS[whose], "Body": BODY} | form
        url = f"{self.url}/2010-04-01/Accounts/{account.sid}/Messages.json"
        return requests.post(
            url,
            {k: v for k, v in given.items() if v},
            auth=(account.sid, f"{whose}'s"),
            timeout=5,
        )

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


def test_a_text_is_queued_and_in_the_ledger_and_a_services_has_no_sender_yet(
    world: World,
) -> None:
    """With exactly Twilio's twenty properties; what a test prints of an entry has no number and no body. A service's
    has no date either: looking by those would call a fresh text absent. Only its recipient finds it.
    """
    content = world.post(
        StatusCallback="https://example.com/s?m=1", ValidityPeriod="600"
    ).json()
    assert set(content) == MESSAGE_PROPERTIES
    assert re.fullmatch(r"SM[0-9a-f]{32}", content["sid"])
    assert columns(content, "status", "from", "num_segments") == (
        "queued",
        SENDER,
        "1",
    )
    assert content["date_created"] == "Mon, 02 Mar 2026 15:30:00 +0000"
    [entry] = world.twilio.ledger.entries(TO)
    assert (entry.sid, entry.sender, entry.body, entry.accepted_at) == (
        content["sid"],
        SENDER,
        BODY,
        world.now,
    )
    assert (entry.status_callback, entry.validity_period) == (
        "https://example.com/s?m=1",
        timedelta(minutes=10),
    )
    assert not [word for word in (TO, SENDER, BODY) if word in repr(entry)]
    sid = world.send("dentist", messaging_service_sid=SERVICE).sid
    messages = world.client("dentist").messages
    fetched = messages(sid).fetch()
    assert (
        fetched.status,
        fetched.from_,
        fetched.num_segments,
        fetched.price_unit,
    ) == (
        "accepted",
        None,
        "0",
        None,
    )
    yesterday, number = world.now - timedelta(days=1), NUMBERS["dentist"]
    by: list[Record] = [
        {"from_": number},
        {"date_sent": world.now},
        {"date_sent_after": yesterday},
    ]
    assert [len(messages.list(**record)) for record in ({"to": TO}, *by)] == [
        1,
        0,
        0,
        0,
    ]
    world.twilio.report(sid, "sent")
    assert [
        len(messages.list(**one))
        for one in ({"to": TO}, *by, {"date_sent_before": yesterday})
    ] == [1, 1, 1, 1, 0]


BREACHES = [
    ({"To": ""}, 21604), ({"To": "not a number"}, 21211), ({"To": "2025550123"}, 21211),
    ({"To": "+15005550001"}, 21211), ({"From": ""}, 21603), ({"From": OTHER}, 21606), ({"From": "nonsense"}, 21212),
    ({"From": NUMBERS["dentist"]}, 21660), ({"From": "", "MessagingServiceSid": "MG123"}, 21705),
    ({"From": "", "MessagingServiceSid": SERVICE}, 21701), ({"Body": ""}, 21602), ({"Body": "😀" * 801}, 21617),
    ({"StatusCallback": "not a url"}, 21609), ({"StatusCallback": "https://example.com/" + "x" * 4000}, 21609),
    ({"ValidityPeriod": "36001"}, 21624), ({"ValidityPeriod": "soon"}, 21624),
]  # fmt: skip
"""What is wrong with a request, and Twilio's code. SERVICE is another account's."""


def test_a_request_that_breaks_a_rule_is_refused_with_twilios_code(
    world: World,
) -> None:
    """Missing, malformed or foreign parameters create nothing, and use up no fault."""
    world.twilio.fail(JsonError(20429, http_status=429))
    for form, code in BREACHES:
        answer = world.post(**form)
        assert (answer.status_code, answer.json()["code"]) == (400, code), form
    assert (
        world.post("dentist", From="", MessagingServiceSid=EMPTY).json()["code"]
        == 21704
    )
    assert world.accepted() == 0
    assert refusal(world.send) == (20429, 429)


REACHES = [
    # credentials, account, whether they reach its messages
    ("parent", "parent", True), ("parent", "dentist", True), ("dentist", "dentist", True), ("key", "parent", True),
    ("parent", "stranger", False), ("dentist", "parent", False), ("dentist", "barber", False),
    ("stranger", "dentist", False), ("key", "dentist", False),
]  # fmt: skip


def test_an_account_reaches_and_is_shown_its_own(world: World) -> None:
    """A parent's token sends for its subaccounts, a key for one account, nobody for a stranger; wrong ones do nothing.
    Neither in a list nor by its SID is a message shown to another account, the parent included.
    """
    for login, account, reaches in REACHES:
        before = world.accepted()
        if reaches:
            assert world.send(account, login).account_sid == world.of[account].sid
        else:
            assert refusal(partial(world.send, account, login)) == (20404, 404)
        assert world.accepted() == before + reaches
    [*_, sid] = [one.sid for one in world.client("dentist").messages.list(to=TO)]
    for other in ("parent", "barber", "stranger"):
        assert sid not in [one.sid for one in world.client(other).messages.list(to=TO)]
        assert refusal(world.client(other).messages(sid).fetch) == (20404, 404)
    posts, world.of["dentist"].auth_token = world.twilio.posts, "another"
    assert refusal(partial(world.send, "dentist")) == (20003, 401)
    assert world.twilio.posts == posts


def test_the_list_is_newest_first_and_a_message_is_listed_as_it_was_reported(
    world: World,
) -> None:
    """By recipient and in pages, each message once, also if another one arrives between two pages."""
    sids = [world.post().json()["sid"] for _ in range(5)]
    world.send(to=OTHER)
    assert world.listed(to=TO, page_size=2) == sids[::-1]
    assert (len(world.listed()), len(world.listed(limit=4, page_size=3))) == (6, 4)
    first = world.client().messages.page(to=TO, page_size=3)
    world.send()
    second = first.next_page()
    assert second is not None
    assert [message.sid for message in (*first, *second)] == sids[::-1]
    parent, messages = world.of["parent"], world.client().messages
    for query in ("DateSent=yesterday", "PageToken=PASM0"):
        url = f"{world.url}/2010-04-01/Accounts/{parent.sid}/Messages.json?{query}"
        answer = requests.get(url, auth=(parent.sid, parent.auth_token), timeout=5)
        assert (answer.status_code, answer.json()["code"]) == (400, 20001), (
            "never an empty list"
        )
    for status, code, arrived in (
        ("queued", None, 0),
        ("undelivered", 30003, 0),
        ("delivered", None, 1),
    ):
        if status != "queued":
            world.twilio.report(sids[0], status, code)
        assert (
            messages(sids[0]).fetch().status,
            messages(sids[0]).fetch().error_code,
        ) == (status, code)
        assert world.twilio.ledger.arrived() == arrived
    assert refusal(messages("SM" + "0" * 32).fetch) == (20404, 404)


def test_after_a_test_the_account_is_as_it_was_whatever_was_changed_of_it() -> None:
    """Each of its fields but the SID: a key that stayed would open it in the next test."""
    sid = f"AC{uuid.uuid4().hex}"
    twilio, new = (
        TwilioStandin(account_sid=sid, auth_token="a", senders={SENDER})
        for _ in range(2)
    )
    for name, value in asdict(twilio.accounts.main).items():
        match value:
            case set():
                getattr(twilio.accounts.main, name).add("+12125550199")
            case dict():
                getattr(twilio.accounts.main, name)[KEY] = "key's"
            case _ if name != "sid":
                setattr(twilio.accounts.main, name, "other")
    twilio.start_over()
    assert asdict(twilio.accounts.main) == asdict(new.accounts.main)
