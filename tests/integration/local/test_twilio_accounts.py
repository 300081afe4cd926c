"""The Twilio stand-in's parent, subaccounts and foreign accounts, driven by Twilio's own SDK."""

import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from twilio.base.exceptions import TwilioRestException
from twilio.http.http_client import TwilioHttpClient
from twilio.request_validator import RequestValidator
from twilio.rest import Client

from smsretry.local.process.http import LocalServer
from smsretry.local.twilio.accounts import Account
from smsretry.local.twilio.standin import TwilioStandin

TO = "+12025550123"
NUMBERS = {"parent": "+12025550100", "dentist": "+12025550101", "barber": "+12025550102", "stranger": "+12025550103"}
SERVICE, EMPTY = "MG" + "a" * 32, "MG" + "b" * 32
KEY = "SK" + "1" * 32


class World:
    """A parent, its two subaccounts and a stranger."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 2, 20, 0, tzinfo=UTC)
        self.twilio = TwilioStandin(
            account_sid=f"AC{uuid.uuid4().hex}",
            auth_token="parent's",
            senders={NUMBERS["parent"]},
            clock=lambda: self.now,
        )
        self.of = {"parent": self.twilio.accounts.main}
        self.of["parent"].api_keys[KEY] = "key's"
        for name in ("dentist", "barber", "stranger"):
            owner = None if name == "stranger" else self.of["parent"]
            account = Account(sid=f"AC{uuid.uuid4().hex}", auth_token=f"{name}'s", numbers={NUMBERS[name]}, owner=owner)
            self.of[name] = self.twilio.accounts.add(account)
        self.of["dentist"].services = {SERVICE: {NUMBERS["dentist"]}, EMPTY: set()}
        self.url = ""

    def client(self, path: str, login: str | None = None) -> Client:
        """A client of the account of the path, with the credentials of `login`."""
        account = self.of[login or path]
        user, secret = (KEY, "key's") if login == "key" else (account.sid, account.auth_token)
        client = Client(user, secret, self.of[path].sid, http_client=TwilioHttpClient(timeout=5))
        client.api.base_url = client.messaging.base_url = self.url
        return client

    def send(self, whose: str, login: str | None = None, **sender: str) -> Any:
        """A text from the account's number, or from the given sender."""
        sender = sender or {"from_": NUMBERS[whose]}
        return self.client(whose, login).messages.create(to=TO, body="Hello", **sender)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Running."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    world = World()
    world.of["key"] = world.of["parent"]
    with LocalServer(world.twilio.app) as server:
        world.url = server.url
        yield world


def refusal(send: Callable[[], object]) -> tuple[int | None, int]:
    """Code and HTTP status of the error that Twilio's SDK raises."""
    with pytest.raises(TwilioRestException) as caught:
        send()
    return caught.value.code, caught.value.status


WHO_REACHES_WHOM = [
    # credentials, account, whether they reach its messages
    ("parent", "parent", True),
    ("parent", "dentist", True),
    ("dentist", "dentist", True),
    ("stranger", "stranger", True),
    ("key", "parent", True),
    ("parent", "stranger", False),
    ("dentist", "parent", False),
    ("dentist", "barber", False),
    ("stranger", "dentist", False),
    ("key", "dentist", False),
]


@pytest.mark.parametrize(("login", "account", "reaches"), WHO_REACHES_WHOM)
def test_who_reaches_whose_messages(world: World, login: str, account: str, reaches: bool) -> None:
    """A parent's token those of its subaccounts, a key those of one account, and nobody a stranger's."""
    if reaches:
        assert world.send(account, login).account_sid == world.of[account].sid
        [entry] = world.twilio.ledger.entries()
        assert (entry.account_sid, entry.sent_by) == (world.of[account].sid, NUMBERS[account])
    else:
        assert refusal(partial(world.send, account, login)) == (20404, 404)
        assert world.twilio.ledger.entries() == ()


def test_an_account_is_shown_only_its_own_messages(world: World) -> None:
    """Neither in a list nor by its SID does the parent see a subaccount's."""
    sid = world.send("dentist").sid
    assert [one.sid for one in world.client("dentist").messages.list(to=TO)] == [sid]
    for other in ("parent", "barber", "stranger"):
        assert world.client(other).messages.list(to=TO) == []
        assert refusal(world.client(other).messages(sid).fetch) == (20404, 404)


def test_a_sender_of_another_account_is_refused(world: World) -> None:
    """As is a number of nobody's, another account's service and a service without numbers."""
    assert refusal(partial(world.send, "barber", from_=NUMBERS["dentist"])) == (21660, 400)
    assert refusal(partial(world.send, "barber", from_="+12025550199")) == (21606, 400)
    assert refusal(partial(world.send, "barber", messaging_service_sid=SERVICE)) == (21701, 400)
    assert refusal(partial(world.send, "dentist", messaging_service_sid=EMPTY)) == (21704, 400)
    assert world.send("dentist", messaging_service_sid=SERVICE).messaging_service_sid == SERVICE


def test_a_suspended_account_sends_nothing_and_no_other_notices(world: World) -> None:
    """Its own credentials are refused; the parent may still read what it is. A suspended parent takes all with it."""
    world.of["dentist"].status = "suspended"
    assert refusal(partial(world.send, "dentist", "parent")) == (20005, 403)
    assert refusal(partial(world.send, "dentist")) == (20003, 401)
    assert world.client("parent").api.v2010.accounts(world.of["dentist"].sid).fetch().status == "suspended"
    assert world.send("barber").sid
    world.of["parent"].status = "suspended"
    assert refusal(partial(world.send, "barber")) == (20003, 401)
    assert world.send("stranger").sid


def test_what_carriers_do_not_take_is_told_after_it_was_accepted(world: World) -> None:
    """A number that is not registered, and the segment above a day of Pacific time."""
    dentist, barber = world.of["dentist"], world.of["barber"]
    barber.refused_by_carriers[NUMBERS["barber"]] = 30034
    dentist.segments_per_day[NUMBERS["dentist"]] = 2

    def fate(whose: str) -> tuple[str, int | None]:
        message = world.client(whose).messages(world.send(whose).sid).fetch()
        return message.status, message.error_code

    assert fate("barber") == ("undelivered", 30034)
    assert [fate("dentist")[1] for _ in range(3)] == [None, None, 30023]
    world.now = datetime(2026, 3, 3, 7, 59, tzinfo=UTC)
    assert fate("dentist")[1] == 30023
    world.now = datetime(2026, 3, 3, 8, 0, tzinfo=UTC)
    assert fate("dentist")[1] is None


def test_callbacks_are_signed_by_the_account_that_owns_the_message(world: World) -> None:
    """A subaccount's by its own token; the form says whose it is, and which service the number belongs to."""
    sid = world.client("dentist").messages.create(
        to=TO, body="Hello", messaging_service_sid=SERVICE, status_callback="https://app.example/s"
    ).sid  # fmt: skip
    callback = world.twilio.callback(sid, "delivered")
    incoming = world.twilio.inbound("https://app.example/in", phone=TO, body="STOP", to=NUMBERS["dentist"])
    for posted in (callback, incoming):
        assert (posted.form["AccountSid"], posted.form["MessagingServiceSid"]) == (world.of["dentist"].sid, SERVICE)
        assert RequestValidator("dentist's").validate(posted.url, posted.form, posted.signature)
        assert not RequestValidator("parent's").validate(posted.url, posted.form, posted.signature)


def test_a_messaging_service_is_shown_to_its_own_account_alone(world: World) -> None:
    """With its numbers and its campaigns. A parent's credentials do not do."""
    world.of["dentist"].campaigns[SERVICE] = ["IN_PROGRESS"]
    services = world.client("dentist").messaging.v1.services
    assert [one.phone_number for one in services(SERVICE).phone_numbers.list()] == [NUMBERS["dentist"]]
    assert services(EMPTY).phone_numbers.list() == []
    assert [one.campaign_status for one in services(SERVICE).us_app_to_person.list()] == ["IN_PROGRESS"]
    assert refusal(world.client("dentist", "parent").messaging.v1.services(SERVICE).fetch) == (20404, 404)
