"""Texts that come due at random instants, and how late each went out."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from random import Random
from typing import Any, Final, Literal, TypeAlias

import httpx
import psycopg

from smsretry.sending.scheduled import AHEAD
from tests.benchmarks.punctual import TEXT
from tests.e2e.running_up import Up

Kind: TypeAlias = Literal["queued", "scheduled"]

_SCHEDULED: Final = """
with c as (insert into customers (business_id, phone, timezone, sms_consent_status)
           select id, %(phone)s, 'America/New_York', 'opted_in' from businesses limit 1 returning id, business_id)
insert into scheduled_sends (business_id, customer_id, body, scheduled_for)
select business_id, id, 'See you soon', smsretry.clock() + make_interval(secs => %(ahead)s) from c
returning scheduled_for
"""
# The database learns of an acceptance a moment later, or after the worker's death much later.
_ACCEPTED: Final = """
select c.phone, min(a.finished_at) as at from sms_send_attempts a
join sms_retry_queue q on q.id = a.retry_id join customers c on c.id = q.customer_id
where a.outcome = 'accepted' group by c.phone
"""
_QUEUED: Final = """
select c.phone, l.created_at as at from scheduled_sends s
join send_logs l on l.id = s.send_log_id join customers c on c.id = s.customer_id where s.status = 'queued'
"""
# What Twilio accepted once has gone out. If a carrier loses it, it may wait half an hour to be sent again.
_OPEN: Final = """
select (select count(*) from sms_retry_queue q where q.status in ('pending', 'processing') and not exists (
            select 1 from sms_send_attempts a where a.retry_id = q.id and a.outcome = 'accepted'))
     + (select count(*) from scheduled_sends where status = 'scheduled') as texts
"""


@dataclass(frozen=True)
class Planned:
    """A text that is to be handed over."""

    at: float
    """Seconds from the beginning."""
    kind: Kind
    phone: str
    ahead: float
    """Seconds from then to its due time."""


def plan(minutes: float, per_minute: float, seed: int) -> list[Planned]:
    """So many a minute of each kind, the first one first. Each has a number of its own.

    Every other queued text is due at once; the others are queued up to a minute ahead, as retries are. Scheduled sends
    are made some minutes ahead, so that one killed run makes none of them late.
    """
    dice, found = Random(seed), []
    count = round(minutes * per_minute)
    for number in range(count):
        ahead = dice.uniform(0, 60) if number % 2 else 0.0
        found.append(Planned(dice.uniform(0, minutes * 60), "queued", f"+1212{5000000 + number}", ahead))
        first = AHEAD.total_seconds() + 60
        ahead = dice.uniform(first, 2 * first)
        found.append(Planned(dice.uniform(0, minutes * 60), "scheduled", f"+1212{7000000 + number}", ahead))
    return sorted(found, key=lambda text: text.at)


def hand_over(connection: psycopg.Connection[dict[str, Any]], text: Planned) -> datetime:
    """As the application does it; returns when it is due."""
    query = TEXT if text.kind == "queued" else _SCHEDULED
    row = connection.execute(query.encode(), {"phone": text.phone, "ahead": text.ahead}).fetchone()
    assert row
    due: datetime = row["scheduled_for"]
    return due


def open_texts(up: Up) -> int:
    """How many have neither gone out nor ended."""
    return up.count(_OPEN)


def queued(up: Up) -> dict[str, datetime]:
    """When each scheduled send became a text, by number."""
    return dict(_by_number(up, _QUEUED))


def accepted(up: Up, listed: "dict[str, list[Message]]") -> dict[str, datetime]:
    """When Twilio accepted each number's first message, at the latest.

    Twilio's list has whole seconds, and the database's record comes a moment after the acceptance: the earlier of both.
    """
    known = dict(_by_number(up, _ACCEPTED))
    ends = {
        number: min(message.created for message in messages) + timedelta(seconds=1)
        for number, messages in listed.items()
    }
    return {number: min(end, known.get(number, end)) for number, end in ends.items()}


@dataclass(frozen=True)
class Message:
    """A message in Twilio's list."""

    created: datetime
    """In whole seconds."""
    status: str


def messages(up: Up) -> dict[str, list[Message]]:
    """All that the stand-in's ledger holds, by number, over HTTP."""
    settings = up.settings
    account, token = settings["TWILIO_ACCOUNT_SID"], settings["TWILIO_AUTH_TOKEN"]
    found: defaultdict[str, list[Message]] = defaultdict(list)
    page: str | None = f"/2010-04-01/Accounts/{account}/Messages.json?PageSize=1000"
    while page:
        answer = httpx.get(settings["TWILIO_BASE_URL"] + page, auth=(account, token), timeout=60).raise_for_status()
        for row in answer.json()["messages"]:
            found[row["to"]].append(Message(parsedate_to_datetime(row["date_created"]), row["status"]))
        page = answer.json()["next_page_uri"]
    return dict(found)


def _by_number(up: Up, query: str) -> Iterator[tuple[str, datetime]]:
    with up.connect() as connection:
        for row in connection.execute(query.encode()):
            yield row["phone"], row["at"]
