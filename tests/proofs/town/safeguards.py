"""Safeguards that can be taken away, to see that a proof notices their absence: those that several proofs look for."""

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, get_args
from unittest.mock import patch

from smsretry.adapters.twilio.errors import twilio_report
from smsretry.adapters.twilio.provider import TwilioProvider
from smsretry.local.stack import Stack
from smsretry.retry import before, doubt
from smsretry.retry.delivery import (
    FAILURES,
    FINAL,
    AfterDelivery,
    DeliveryReport,
    OpenDelivery,
    Silence,
    after_delivery,
)
from smsretry.retry.evidence import Matches
from smsretry.retry.models import Look, SenderId
from smsretry.sending import delivering
from tests.proofs.town.report import ProofReport

_TRIGGER = """
    create function smsretry.spoilt() returns trigger language plpgsql as $$ begin {body} return new; end $$;
    create trigger spoilt before update on public.{table} for each row execute function smsretry.spoilt();
"""
_NO_TRIGGER = "drop function if exists smsretry.spoilt() cascade"
Patch = tuple[object, str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Safeguard:
    """One that can be taken away: in the database, in the package, or in both."""

    replaces: str = ""
    """A function of the database that is changed, and put back."""
    edits: tuple[tuple[str, str], ...] = ()
    """What is replaced in its text: patterns, each found once."""
    sql: str = ""
    """What is run besides, or a whole function in its place."""
    patches: tuple[Patch, ...] = ()

    def take_away_here(self) -> None:
        """In this process, for good: it is a worker's."""
        for owner, name, instead in self.patches:
            setattr(owner, name, instead)


def edited(function: str, *edits: tuple[str, str], **options: Any) -> Safeguard:
    """A function of the database without one, or some, of its conditions."""
    return Safeguard(replaces=function, edits=edits, **options)


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """A safeguard, and a short run that must see its absence."""

    without: Safeguard
    sees: str | tuple[str, ...]
    """How what is found then begins, as `Report.found` tells it."""
    run: Callable[[Stack], ProofReport]

    def report(self, stack: Stack) -> ProofReport:
        """What the run comes to without it, on an empty stack."""
        with without(stack, self.without):
            return self.run(stack)

    def is_seen(self, report: ProofReport) -> bool:
        """Whether its absence was noticed."""
        return any(line.startswith(self.sees) for line in report.findings)


def trigger(body: str, table: str = "sms_retry_queue") -> str:
    """SQL that does this before each update of a row."""
    return _TRIGGER.format(body=body, table=table)


@contextmanager
def without(stack: Stack, safeguard: Safeguard | None) -> Iterator[None]:
    """The stack and the package with this taken away; afterwards both are as they were. None: nothing is."""
    safeguard = safeguard or Safeguard()
    original = _text_of(stack, safeguard.replaces) if safeguard.replaces else None
    patches = [
        patch.object(owner, name, replacement)
        for owner, name, replacement in safeguard.patches
    ]
    with stack.connect() as connection:
        try:
            if safeguard.edits and original:
                connection.execute(_edited(original, safeguard.edits).encode())
            if safeguard.sql:
                connection.execute(safeguard.sql.encode())
            for active_patch in patches:
                active_patch.start()
            yield
        finally:
            for active_patch in patches:
                active_patch.stop()
            with (
                stack.connect() as anew
            ):  # the other one may not have lived to see this
                anew.execute(_NO_TRIGGER)
                if original:
                    anew.execute(original.encode())


def _text_of(stack: Stack, function: str) -> str:
    with stack.connect() as connection:
        row = connection.execute(
            "select pg_get_functiondef(%s::regproc) as sql", [function]
        ).fetchone()
    assert row is not None
    return str(row["sql"])


def _edited(function: str, edits: Iterable[tuple[str, str]]) -> str:
    for pattern, instead in edits:
        # However the function is laid out.
        loose = re.sub(r"(?<!\\) ", r"\\s+", pattern)
        loose = loose.replace(r"\(", r"\(\s*").replace(r"\)", r"\s*\)")
        function, count = re.subn(loose, instead, function)
        assert count == 1, (
            f"{pattern} is not in the function: the switch takes nothing away"
        )
    return function


_look_up, _fetch_report = TwilioProvider.look_up, TwilioProvider.fetch_report


def _in_the_environments(
    self: TwilioProvider, phone: str, *, sender: SenderId, **when: datetime
) -> Look | None:
    return _look_up(
        self, phone, sender=SenderId(self.default.account, sender.sent_by), **when
    )


def _asked_in_the_environments(
    self: TwilioProvider, sid: str, *, account: str | None
) -> DeliveryReport:
    return _fetch_report(self, sid, account=None)


def _reports_as_undelivered(
    self: TwilioProvider, sid: str, *, account: str | None
) -> DeliveryReport:
    report = _fetch_report(self, sid, account=account)
    may_arrive = report.status not in {*FINAL, *FAILURES, *get_args(Silence)}
    return twilio_report("undelivered", 30008) if may_arrive else report


def _whatever_the_code(
    message: OpenDelivery, report: DeliveryReport, **options: Any
) -> AfterDelivery:
    if report.refusal:
        report = replace(
            report, refusal=replace(report.refusal, kind="refused_for_now")
        )
    return after_delivery(message, report, **options)


BEGIN = "public.begin_sms_attempt"
FENCE = Safeguard(
    replaces="smsretry.fenced",
    sql="""
        create or replace function smsretry.fenced(retry_id uuid, claim_no bigint)
        returns public.sms_retry_queue language plpgsql set search_path = pg_catalog, pg_temp as $$
        #variable_conflict use_column
        declare
            v_row public.sms_retry_queue;
        begin
            select (jsonb_populate_record(q, jsonb_build_object(
                'claim_no', fenced.claim_no, 'begun_at', mine.begun_at,
                'attempt_id', coalesce(mine.id, q.attempt_id)))).*
            into v_row
            from public.sms_retry_queue q
            left join public.sms_send_attempts mine on mine.retry_id = q.id and mine.claim_no = fenced.claim_no
            where q.id = fenced.retry_id and q.status = 'processing'
            for update of q;
            return v_row;
        end
        $$""",
)
"""The claim number in every write: a worker sees the row as if nobody else had begun it since."""
EVIDENCE = Safeguard(patches=((doubt, "find", lambda *_, **__: Matches((), ())),))
"""The look for evidence in the provider's list."""
QUARANTINE = Safeguard(
    patches=((doubt, "MIN_LOOKS", 1), (doubt, "MIN_QUARANTINE", timedelta(0)))
)
"""Three looks over a quarter of an hour."""
RANKS = Safeguard(
    replaces="smsretry.record_delivery",
    edits=((r"\(v_rank > v_known_rank\) is not true", "v_rank is null"),),
)
"""Which of two reports of a message is the later one."""
ASKING = Safeguard(patches=((before, "before_sending_again", lambda *_, **__: None),))
"""The question about a lost message before the next one leaves."""
PATIENCE = Safeguard(
    patches=(
        (TwilioProvider, "fetch_report", _reports_as_undelivered),
        *ASKING.patches,
    )
)
"""The wait for what may still arrive. Whoever asks before the next one notices that, too."""
CODES = Safeguard(patches=((delivering, "after_delivery", _whatever_the_code),))
"""Which failures pass."""
ACCOUNT = Safeguard(
    patches=(
        (TwilioProvider, "look_up", _in_the_environments),
        (TwilioProvider, "fetch_report", _asked_in_the_environments),
    )
)
"""The account in which a message is looked for."""
SENDER = Safeguard(replaces=BEGIN, edits=((r"<> fingerprint", "is null"),))
"""What the decision was made from when a send begins: whose sender it is, too."""
