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
from smsretry.doctor.parts import Findings, remark, verdict
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

    def problems_of(sender: SenderRecord) -> list[Finding]:
        _, *lines = in_lines(sender.tell())
        problems = [remark("", line.strip()) for line in lines]
        # The account's check includes the default sender. One that was replaced sends nothing more.
        is_used = sender.businesses or sender.texts
        if sender.named_at or not is_used or not sender.sent_by:
            return problems
        try:
            findings = check(SenderId(sender.account, sender.sent_by))
        except Exception as error:  # noqa: BLE001 - a library's, and the other senders are checked all the same
            findings = [verdict("check", f"could not be made ({cause_of(error)})")]
        return problems + [finding for finding in findings if finding.advice]

    in_order = len(senders)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for sender, problems in zip(
            senders, pool.map(problems_of, senders), strict=True
        ):
            if problems:
                in_order -= 1
                advice = "; ".join(
                    str(problem).removeprefix(": ") for problem in problems
                )
                is_bad = not all(problem.ok for problem in problems)
                yield (verdict if is_bad else remark)(sender.title, advice)
    yield remark(f"senders ({in_order} of {len(senders)} in order)")
