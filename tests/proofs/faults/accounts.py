"""From which senders texts went out, and in which accounts they were looked for, against who sent for whom."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from smsretry.local.stack import Stack
from smsretry.local.twilio.ledger import Entry
from tests.proofs.faults.moves import Movers
from tests.proofs.faults.texts import PlannedText
from tests.proofs.faults.wire import Asked
from tests.support.platform import Address

Row = Mapping[str, Any]


def address_of(entry: Entry) -> Address:
    """The account and sender that a message went out from, by Twilio's own book."""
    return entry.account_sid or "", entry.sent_by or ""


def read_begun(stack: Stack) -> dict[UUID, datetime]:
    """When each begin was over, by its attempt."""
    with stack.connect() as connection:
        rows = connection.execute("select attempt_id, at from smsretry_local.begun").fetchall()
    return {row["attempt_id"]: row["at"] for row in rows}


def judge_senders(
    entries: Mapping[str, Sequence[Entry]],
    attempts: Mapping[UUID, Sequence[Row]],
    texts: Sequence[PlannedText],
    movers: Movers,
    begun: Mapping[UUID, datetime],
) -> tuple[Counter[str], list[str]]:
    """Sends from a sender that was not the business's when they began, and messages that left from another one."""
    told = []
    for text in texts:
        own = attempts.get(text.send_log_id, ())
        for attempt in own:
            address = attempt["sent_account"], attempt["sent_by"]
            asked_from, asked_until = attempt["begun_at"], begun[attempt["id"]]
            if address not in movers.senders_of(text.business_id, asked_from, asked_until):
                told.append(f"text {text.number}: begun at {asked_from:%H:%M:%S.%f} from another business's sender")
        by_sid = {attempt["twilio_sid"]: attempt for attempt in own}
        addresses = {(attempt["sent_account"], attempt["sent_by"]) for attempt in own}
        for entry in entries.get(text.body, ()):
            known = by_sid.get(entry.sid)
            expected = {(known["sent_account"], known["sent_by"])} if known else addresses
            if address_of(entry) not in expected:
                told.append(f"text {text.number}: a message left from another sender than its attempt says")
    return Counter(wrong_sender=len(told)), told


def judge_questions(
    asked: Sequence[Asked],
    entries: Mapping[str, Sequence[Entry]],
    attempts: Mapping[UUID, Sequence[Row]],
    texts: Sequence[PlannedText],
) -> tuple[Counter[str], list[str]]:
    """What was asked in another account than the message went out from, or the attempt that it was asked for."""
    account_of = {entry.sid: entry.account_sid for of_text in entries.values() for entry in of_text}
    by_phone = {text.phone or "": text for text in texts}
    told = []
    for one in asked:
        match one.what:
            case "send":
                continue  # that is judged by the ledger
            case "fetch" | "change":
                expected = {account_of.get(one.sid or "")}
                what = f"message {one.sid}"
            case "list":
                text = by_phone[one.to or ""]
                expected = _looked_for(attempts.get(text.send_log_id, ()), one)
                what = f"text {text.number}"
        if one.account not in expected:
            told.append(f"{what}: asked for at {one.at:%H:%M:%S.%f} in another account than its own ({one.what})")
    return Counter(wrong_account=len(told)), told


def _looked_for(attempts: Sequence[Row], look: Asked) -> set[str | None]:
    """The accounts of the attempts that this look may have been for: begun before it, from the number that it names."""
    candidates = [
        attempt for attempt in attempts if attempt["begun_at"] <= look.at and look.sender in (None, attempt["sent_by"])
    ]
    in_doubt = [a for a in candidates if a["finished_at"] is None or a["finished_at"] >= look.at]
    return {attempt["sent_account"] for attempt in in_doubt or candidates[-1:]}
