"""The provider: the account, its sender, and the senders of the businesses."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Final, TypeAlias

from smsretry.adapters.answering import cause_of
from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.desk.questions.blocks import in_lines
from smsretry.desk.questions.senders import SenderRecord
from smsretry.doctor.clocks import PROVIDER
from smsretry.doctor.database import PATIENCE
from smsretry.errors import QueueError
from smsretry.retry.models import Finding, SenderId
from smsretry.settings import Settings
from smsretry.wiring import provider

Check: TypeAlias = Callable[[SenderId], list[Finding]]
"""Can a sender send? Asks the provider, and sends nothing."""
_AT_ONCE: Final = 10
"""How many senders are asked about at once."""


def provider_findings(
    settings: Settings, ahead: dict[str, timedelta], now: Callable[[], datetime]
) -> Iterator[Finding]:
    """Findings. If the database cannot be asked for the businesses' senders, that has been said."""
    settings = settings.with_timeouts_up_to(PATIENCE)
    with SupabaseOperators(settings) as operators, provider(settings) as connected:
        yield from connected.check()
        if at := connected.clock():
            ahead[PROVIDER] = at - now()
        try:
            senders = operators.senders()
        except QueueError:
            return
        yield from sender_findings(senders, connected.check_sender)


def sender_findings(senders: Sequence[SenderRecord], check: Check) -> Iterator[Finding]:
    """A line for each that needs somebody, and one for all the others."""

    def ask(sender: SenderRecord) -> list[Finding]:
        if (
            sender.named_at or not sender.sent_by
        ):  # the default one has been asked about
            return []
        try:
            return check(SenderId(sender.account, sender.sent_by))
        except Exception as error:  # noqa: BLE001 - of somebody else's code; the others are checked all the same
            return [
                Finding(
                    subject="check",
                    ok=False,
                    advice=f"could not be made ({cause_of(error)})",
                )
            ]

    fine = len(senders)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for sender, answers in zip(senders, pool.map(ask, senders), strict=True):
            _, *trouble = in_lines(sender.tell())
            wrong = [finding for finding in answers if finding.advice]
            advice = [
                *trouble,
                *(f"{finding.subject}: {finding.advice}" for finding in wrong),
            ]
            if advice:
                ok = all(finding.ok for finding in wrong)
                yield Finding(
                    subject=sender.title,
                    ok=ok,
                    advice="; ".join(line.strip() for line in advice),
                )
                fine -= 1
    yield Finding(subject=f"senders ({fine} of {len(senders)} in order)", ok=True)
