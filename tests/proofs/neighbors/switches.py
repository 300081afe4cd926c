"""Each safeguard, taken away: to see that the judge notices its absence, and with which neighbors it does."""

from collections.abc import Hashable, Mapping, Sequence
from math import inf
from typing import Any

from smsretry.adapters.supabase import queue
from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.supabase.reply import Rows, read_rows
from smsretry.local.stack import Stack
from smsretry.local.twilio.faults import HtmlError
from smsretry.retry.decision import Defer, Fail, GiveBack, Hold, NoSend
from smsretry.retry.models import Claim
from smsretry.retry.outcome import InDoubt, Outcome, Rejected
from smsretry.sending import flow_control
from smsretry.sending.flow_control import IN_A_ROW, FlowControl, SenderCircuit
from tests.proofs.neighbors import tenants, troubles
from tests.proofs.neighbors.report import run
from tests.proofs.neighbors.senders import (
    day_is_used,
    moves_in_doubt,
    moves_in_flight,
    slow_sender,
)
from tests.proofs.neighbors.tenants import well_behaved
from tests.proofs.town.report import ProofReport
from tests.proofs.town.safeguards import (
    ACCOUNT,
    BEGIN,
    SENDER,
    Patch,
    Safeguard,
    Switch,
    edited,
    trigger,
)
from tests.proofs.town.street import Neighbor

_act_on, _observe = SupabaseQueue.act_on, FlowControl.observe
_wait_to_claim = FlowControl.wait_to_claim


def _all_or_nothing(kind: type[Claim], answer: list[Mapping[str, Any]]) -> Rows[Claim]:
    """An answer was read as a whole."""
    rows = read_rows(kind, answer)
    rows.foreign_columns.update(*(row.columns for row in rows.unreadable))
    return rows


def _keep(self: SupabaseQueue, claim: Claim, decision: NoSend) -> bool:
    """What could not begin was kept."""
    is_put_off = isinstance(decision, GiveBack) or (
        isinstance(decision, Defer) and not decision.for_window
    )
    return is_put_off or _act_on(self, claim, decision)


def _fail(self: SupabaseQueue, claim: Claim, decision: NoSend) -> bool:
    """What a person can mend failed."""
    return _act_on(
        self,
        claim,
        Fail(decision.why, decision.why_code)
        if isinstance(decision, Hold)
        else decision,
    )


def _whosever_they_are(failures: Sequence[Hashable], _: int) -> bool:
    """Three failures in a row were everybody's trouble."""
    return len(failures) >= IN_A_ROW


_NO_SHARE = (FlowControl, "_share", lambda *_: inf)
_WHOSE = (flow_control, "is_trouble", _whosever_they_are)


def _wait_for_nothing(
    self: FlowControl, room: Mapping[str, int], *, at: float, **options: Any
) -> bool:
    """A run ended when nothing was due, whatever was under way."""
    return at < inf and _wait_to_claim(self, room, at=at, **options)


def _as_failure(self: FlowControl, claim: Claim, outcome: Outcome) -> float | None:
    """A refusal that may concern its destination alone was a failure."""
    if isinstance(outcome, Rejected) and not outcome.refusal.certain:
        outcome = InDoubt(outcome.refusal.why)
    return _observe(self, claim, outcome)


def _patch(*patches: Patch) -> Safeguard:
    return Safeguard(patches=patches)


def _switch(
    without: Safeguard,
    sees: str,
    *neighbors: Neighbor,
    good: int = 4,
    minutes: int = 20,
    stale: int = 1,
) -> Switch:
    """So many well-behaved texts beside whom it takes to see its absence."""

    def short(stack: Stack) -> ProofReport:
        return run(
            stack,
            [well_behaved(good), *neighbors],
            seed="1",
            minutes=minutes,
            stale=stale,
        )

    return Switch(without=without, sees=sees, run=short)


SWITCHES = {
    "suspects": _switch(
        Safeguard(sql=trigger("new.recover_count := 0;")),
        "late",
        troubles.poison,
        good=20,
    ),
    "suspects in doubt": _switch(
        Safeguard(
            sql=trigger(
                "if new.in_doubt_since is not null then new.recover_count := 0; end if;"
            )
        ),
        "late",
        troubles.poison_in_doubt,
        good=240,
        minutes=40,
        stale=3,
    ),
    "unlimited recovery": _switch(
        Safeguard(
            sql=trigger(
                """if new.status = 'pending' and new.recover_count >= 3 then
                       new.status := 'failed'; new.last_error := 'Its worker died 3 times'; new.why := null;
                   end if;"""
            )
        ),
        "failed",
        troubles.killer(1.0),
        good=6,
        minutes=30,
    ),
    "a lost claim costs its lease": _switch(  # here four runs more, and then another claim is lost
        Safeguard(
            sql=trigger(
                """if new.recover_count = 1 and old.recover_count = 0 then
                       new.scheduled_for := new.scheduled_for + interval '4 minutes';
                   end if;"""
            )
        ),
        "late",
        troubles.killer(0.4),
        good=12,
    ),
    "row by row": _switch(
        _patch((queue, "read_rows", _all_or_nothing)),
        "late",
        tenants.odd_values,
        good=12,
    ),
    "giving back": _switch(
        _patch(
            (SupabaseQueue, "act_on", _keep),
            (FlowControl, "database_failed", lambda *_: None),
        ),
        "late",
        troubles.revoked_grant(2),
        good=12,
        minutes=24,
        stale=8,
    ),
    "claims row by row": _switch(
        edited(
            "smsretry.claim_rows",
            (r"for v_try in 0 \.\. coalesce\(.+, 0\) loop", "for v_try in 0 .. 0 loop"),
        ),
        "late",
        troubles.refusing_trigger,
        good=40,
    ),
    "changed numbers": _switch(
        SENDER,
        "astray",
        troubles.mid_flight,
    ),
    "deleted in mid-flight": _switch(
        edited(
            BEGIN,
            (
                r"if not found then answer := 'data_changed'",
                "if false then answer := 'data_changed'",
            ),
        ),
        "untrue end",
        troubles.mid_flight,
    ),
    "several fail, and what has stopped is tried": _switch(  # each would do alone
        edited(
            "smsretry.texts_in_turn",
            (r"('sender' \|\| s\.id = any \(v_stops\)) then 1", r"\1 then 0"),
            patches=(_WHOSE,),
        ),
        "late",
        tenants.comes_to_nothing("a firewall's page", HtmlError(http_status=403), 60),
        good=12,
        minutes=8,
    ),
    "several senders fail": _switch(  # each would do alone
        _patch(_WHOSE, _NO_SHARE),
        "late",
        tenants.senders_down(6, shops=12),
        good=12,
        minutes=8,
    ),
    "a run goes on": _switch(
        _patch((FlowControl, "wait_to_claim", _wait_for_nothing)),
        "late",
        tenants.slow_answers(20, 20, seconds=4.0),
        minutes=6,
    ),
    "a sender's share": _switch(  # of the places, and so of what is claimed
        _patch(_NO_SHARE, (SenderCircuit, "is_slow", False)),
        "late",
        slow_sender(28.0),
        good=0,
        minutes=8,
    ),
    "an answer is no failure": _switch(
        _patch((FlowControl, "observe", _as_failure)),
        "late",
        tenants.refused_beside_good(4),
        minutes=8,
    ),
    "the log's SID": _switch(
        Safeguard(
            replaces="smsretry.belongs_to_another",
            sql="""create or replace function smsretry.belongs_to_another(sid text, attempt_id uuid, send_log_id uuid)
                   returns boolean language sql stable as $$
                       select exists (
                           select 1 from public.sms_send_attempts a
                           where a.twilio_sid = belongs_to_another.sid
                              and a.id is distinct from belongs_to_another.attempt_id)
                   $$""",
        ),
        "lost",
        troubles.sends_by_itself,
    ),
    "holding": _switch(
        _patch((SupabaseQueue, "act_on", _fail)),
        "untrue end",
        tenants.broken_settings,
        minutes=40,
    ),
    "turns go on": _switch(
        edited(
            "smsretry.texts_in_turn",
            (r"elsif v_due = v_looks then", "elsif false then"),
        ),
        "late",
        tenants.backlog(20),
        good=10,
        minutes=10,
    ),
    "turns of all": _switch(
        edited(
            "smsretry.in_turn",
            (
                r"order by w\.turn, w\.served nulls first, w\.business_id",
                "order by w.id",
            ),
        ),
        "late",
        tenants.scheduled_flood(290),
        minutes=16,
    ),
    "the business's sender": _switch(SENDER, "wrong sender", moves_in_flight),
    "the sender's account": _switch(ACCOUNT, "doubled", moves_in_doubt, minutes=40),
    "a day's cap": _switch(
        edited(
            "smsretry.reserve_slot",
            (r"then v_used \+ segments else 0 end", "then 0 else 0 end"),
        ),
        "bugs",
        day_is_used,
        minutes=16,
    ),
}
