"""Businesses with senders of their own: accounts at the stand-in for Twilio, and the rows that name them."""

from typing import Any
from uuid import UUID, uuid4

import psycopg

from smsretry.local.stack import Stack
from smsretry.local.twilio.accounts import Account


def open_account(stack: Stack, *, number: str, subaccount: bool = True, **known: Any) -> Account:
    """A subaccount of the environment's account, or somebody else's account, which owns the number."""
    owner = stack.twilio.accounts.main if subaccount else None
    account = Account(sid=f"AC{uuid4().hex}", auth_token=uuid4().hex, numbers={number}, owner=owner, **known)
    return stack.twilio.accounts.add(account)


def texts_from(
    connection: psycopg.Connection[dict[str, Any]], business: UUID, account: str, sent_by: str, **limits: Any
) -> UUID:
    """From now on the business's texts go out from this sender; returns its id."""
    row = connection.execute(
        """insert into smsretry.senders (account, sent_by, segments_per_second, segments_per_day)
           values (%s, %s, %s, %s)
           on conflict on constraint senders_one do update set account = excluded.account returning id""",
        [account, sent_by, limits.get("segments_per_second"), limits.get("segments_per_day")],
    ).fetchone()
    assert row is not None
    connection.execute("delete from smsretry.business_senders where business_id = %s", [business])
    connection.execute(
        "insert into smsretry.business_senders (business_id, sender_id) values (%s, %s)", [business, row["id"]]
    )
    sender_id: UUID = row["id"]
    return sender_id
