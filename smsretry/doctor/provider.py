"""The provider: the account, its sender, and the senders of the businesses."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeAlias

from smsretry.adapters.answering import cause_of
from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.desk.questions.blocks import in_lines
from smsretry.desk.questions.senders import SenderRecord
from smsretry.doctor.clocks import PROVIDER, ClockOffsets
from smsretry.doctor.database import PATIENCE
from smsretry.doctor.parts import Findings
from smsretry.errors import QueueError
from smsretry.retry.models import Finding, SenderId
from smsretry.settings import Settings
from smsretry.wiring import provider

Check: TypeAlias = Callable[[SenderId], list[Finding]]
"""A question to the provider whether a sender can send. It sends nothing."""
_AT_ONCE: Final = 10
"""How many senders are asked about at once."""


def provider_findings(settings: Settings, offsets: ClockOffsets) -> Findings:
    """Findings about the account and the senders. If the senders cannot be read, the database's findings say so."""
    settings = settings.with_timeouts_up_to(PATIENCE)
    with SupabaseOperators(settings) as operators, provider(settings) as connected:
        yield from connected.check()
        if at := connected.clock():
            offsets.record(PROVIDER, at)
        try:
            senders = operators.senders()
        except QueueError:
            return
        yield from sender_findings(senders, connected.check_sender)


def sender_findings(senders: Sequence[SenderRecord], check: Check) -> Findings:
    """A finding about each sender with a problem, and one about all the others."""

    def check_record(sender: SenderRecord) -> list[Finding]:
        # The account's check includes the default sender. One that was replaced sends nothing more.
        is_used = sender.businesses or sender.texts
        if sender.named_at or not is_used or not sender.sent_by:
            return []
        try:
            return check(SenderId(sender.account, sender.sent_by))
        except Exception as error:  # noqa: BLE001 - a library's, and the other senders are checked all the same
            advice = f"could not be made ({cause_of(error)})"
            return [Finding(subject="check", ok=False, advice=advice)]

    in_order = len(senders)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        checks = pool.map(check_record, senders)
        for sender, findings in zip(senders, checks, strict=True):
            _, *problems = in_lines(sender.tell())
            warnings = [finding for finding in findings if finding.advice]
            problems += map(str, warnings)
            if problems:
                in_order -= 1
                yield Finding(
                    subject=sender.title,
                    ok=all(warning.ok for warning in warnings),
                    advice="; ".join(problem.strip() for problem in problems),
                )
    yield Finding(subject=f"senders ({in_order} of {len(senders)} in order)", ok=True)
