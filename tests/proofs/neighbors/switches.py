"""Each safeguard, taken away: to see that the judge notices its absence, and with which neighbors it does."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

import httpx
from postgrest.exceptions import APIError

from smsretry.adapters.supabase import queue
from smsretry.adapters.supabase.advice import explain
from smsretry.adapters.supabase.calls import SupabaseCalls
from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.supabase.rows import Rows, read_rows
from smsretry.errors import QueueUnreachable
from smsretry.local.stack import Stack
from smsretry.local.twilio.faults import HtmlError
from smsretry.retry import evidence
from smsretry.retry.decision import Defer, Fail, GiveBack, Hold, PutOff
from smsretry.retry.evidence import Sent
from smsretry.retry.models import Claim, Sighting
from smsretry.sending.flow_control import IN_A_ROW, Failures, FlowControl
from smsretry.sending.ports import Batch
from tests.proofs.neighbors import tenants, troubles
from tests.proofs.neighbors.report import run
from tests.proofs.neighbors.senders import day_is_used, moves_in_doubt, moves_in_flight
from tests.proofs.neighbors.tenants import well_behaved
from tests.proofs.town.report import Report
from tests.proofs.town.safeguards import ACCOUNT, BEGIN, SENDER, Patch, Safeguard, Switch, trigger
from tests.proofs.town.street import Neighbor

_time = evidence._time
_claim_texts, _put_off = SupabaseQueue.claim_texts, SupabaseQueue.put_off


def _all_or_nothing(kind: type[Claim], answer: list[Mapping[str, Any]]) -> Rows[Claim]:
    """An answer was read as a whole."""
    rows = read_rows(kind, answer)
    rows.foreign.update(*(row.columns for row in rows.unreadable))
    return rows


def _as_the_rows_say_now(self: SupabaseQueue, limit: int, **more: Any) -> Batch:
    """Evidence was compared with the rows."""
    batch = _claim_texts(self, limit, **more)
    texts = [claim.model_copy(update={"sent_to": claim.phone, "sent_body": claim.body}) for claim in batch.texts]
    return replace(batch, texts=texts)


def _keep(self: SupabaseQueue, claim: Claim, decision: PutOff) -> bool:
    """What could not begin was kept."""
    kept = isinstance(decision, GiveBack) or (isinstance(decision, Defer) and not decision.for_window)
    return kept or _put_off(self, claim, decision)


def _fail(self: SupabaseQueue, claim: Claim, decision: PutOff) -> bool:
    """What a person can mend failed."""
    return _put_off(self, claim, Fail(decision.why, decision.why_code) if isinstance(decision, Hold) else decision)


def _read_at_once(self: SupabaseCalls, function: str, values: dict[str, object]) -> object:
    """Two kinds of exception were known."""
    try:
        return self._client.rpc(function, dict(values)).execute().data
    except httpx.TransportError:
        raise QueueUnreachable(f"Supabase did not answer {function}") from None
    except APIError as error:
        raise explain(function, error, url=self.url) from None


def _whosever_they_are(self: Failures[object], groups: int | None = None) -> bool:
    """Three failures in a row were everybody's trouble."""
    return self.in_a_row >= IN_A_ROW


def _by_the_clock(sighting: Sighting, sent: Sent, clock_ahead: timedelta) -> str:
    """The clock was believed."""
    time = _time(sighting, sent, clock_ahead)
    return "never" if time == "unusual" else time


def _edit(function: str, *edits: tuple[str, str], **more: Any) -> Safeguard:
    return Safeguard(replaces=function, edits=edits, **more)


def _patch(*patches: Patch) -> Safeguard:
    return Safeguard(patches=patches)


def _is(function: str, body: str) -> Safeguard:
    """The whole function is another one."""
    return Safeguard(
        replaces=f"smsretry.{function.partition('(')[0]}", sql=f"create or replace function smsretry.{function} {body}"
    )


def _switch(
    without: Safeguard, sees: str, *neighbors: Neighbor, good: int = 4, minutes: int = 20, stale: int = 1, **more: Any
) -> Switch:
    """So many well-behaved texts beside whom it takes to see its absence."""

    def short(stack: Stack) -> Report:
        return run(stack, [well_behaved(good), *neighbors], seed="1", minutes=minutes, stale=stale, **more)

    return Switch(without=without, sees=sees, run=short)


SWITCHES: Final = {
    "suspects": _switch(Safeguard(sql=trigger("new.recover_count := 0;")), "late", troubles.poison, good=20),
    "suspects in doubt": _switch(
        Safeguard(sql=trigger("if new.in_doubt_since is not null then new.recover_count := 0; end if;")),
        "late",
        troubles.poison_in_doubt,
        good=80,
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
    "row by row": _switch(_patch((queue, "read_rows", _all_or_nothing)), "late", tenants.odd_values, good=12),
    "giving back": _switch(
        _patch((SupabaseQueue, "put_off", _keep), (FlowControl, "database_failed", lambda *_: None)),
        "late",
        troubles.revoked_grant(2),
        good=12,
        minutes=24,
        stale=8,
    ),
    # The lock ends with the first call that is given up: every timeout would take a quarter of a minute.
    "lock timeout": _switch(
        _edit("smsretry.fenced", (r"perform set_config\('lock_timeout',.*?;", "")),
        "unanswered",
        troubles.idle_transaction(1, texts=2, until_given_up=True),
        good=6,
        minutes=6,
        timeout_seconds=3.0,
    ),
    "claims row by row": _switch(
        _edit("smsretry.take", (r"for v_try in 0 \.\. coalesce\(cardinality\(take\.ids\), 0\)", "for v_try in 0 .. 0")),
        "late",
        troubles.refusing_trigger,
        good=40,
    ),
    "undecodable answers": _switch(
        _patch((SupabaseCalls, "_once", _read_at_once)), "untrue end", troubles.undecodable_answers, minutes=12
    ),
    "changed numbers": _switch(
        _edit(BEGIN, (r"v_customer\.phone is distinct from v_phone", "false"), (r"<> decided_by", "is null")),
        "astray",
        troubles.mid_flight,
    ),
    "deleted in mid-flight": _switch(
        _edit(BEGIN, (r"v_customer\.id is null or v_told\.channel is distinct from 'sms'", "false")),
        "untrue end",
        troubles.mid_flight,
    ),
    "several fail, and what has stopped is tried": _switch(  # each would do alone
        _edit(
            "smsretry.rooms",
            (r"(s\.id::text = any \(x\.senders\)) then 1", r"\1 then 0"),
            patches=((Failures, "are_of_all", _whosever_they_are),),
        ),
        "late",
        tenants.comes_to_nothing("a firewall's page", HtmlError(http_status=403), 60),
        good=12,
        minutes=8,
    ),
    "what was sent": _switch(
        _patch((SupabaseQueue, "claim_texts", _as_the_rows_say_now)), "doubled", troubles.edited_in_doubt, minutes=28
    ),
    "any clock": _switch(_patch((evidence, "_time", _by_the_clock)), "doubled", troubles.told_otherwise, minutes=40),
    "the log's SID": _switch(
        _is(
            "is_anothers(sid text, attempt_id uuid, send_log_id uuid)",
            """returns boolean language sql stable as $$
                   select exists (
                       select 1 from public.sms_send_attempts a
                       where a.twilio_sid = is_anothers.sid and a.id is distinct from is_anothers.attempt_id)
               $$""",
        ),
        "lost",
        troubles.sends_by_itself,
    ),
    "kept consent": _switch(
        _is("keep_consent()", "returns trigger language plpgsql as 'begin return new; end'"),
        "after an opt-out",
        tenants.two_rows,
    ),
    "own words": _switch(
        _is(
            "means_stop(body text)",
            """returns text language sql immutable as $$
                   select 'keyword' where upper(btrim(means_stop.body, E' \\t\\r\\n'))
                       in ('STOP', 'STOPALL', 'UNSUBSCRIBE', 'END', 'QUIT', 'CANCEL', 'REVOKE', 'OPTOUT')
               $$""",
        ),
        "after an opt-out",
        tenants.own_words,
    ),
    "holding": _switch(_patch((SupabaseQueue, "put_off", _fail)), "untrue end", tenants.broken_settings, minutes=40),
    "turns go on": _switch(
        _edit("smsretry.texts_in_turn", (r"< 4 \* v_step as are_all", "is not null as are_all")),
        "late",
        tenants.backlog(20),
        good=10,
        minutes=10,
    ),
    "turns of all": _switch(
        _edit("smsretry.in_turn", (r"order by w\.turn, w\.served nulls first, w\.business_id", "order by w.id")),
        "late",
        tenants.scheduled_flood(290),
        minutes=16,
    ),
    "the business's sender": _switch(SENDER, "wrong sender", moves_in_flight),
    "the sender's account": _switch(ACCOUNT, "doubled", moves_in_doubt, minutes=40),
    "who heard the stop": _switch(
        _is(
            "heard_by(number text, service text, account text, out senders text[], out lifts boolean)",
            "language sql stable as 'select null::text[], false'",
        ),
        "untrue end",
        tenants.stop_at_one,
    ),
    "a day's cap": _switch(
        _edit("smsretry.take_turn", (r"then v_used \+ segments else 0 end", "then 0 else 0 end")),
        "bugs",
        day_is_used,
        minutes=16,
    ),
}
