"""Each safeguard, taken away: to see that the judge notices its absence, and with which neighbors it does."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
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
from smsretry.retry.decision import Defer, Fail, GiveBack, Hold, PutOff
from smsretry.retry.models import Claim
from smsretry.sending.flow_control import IN_A_ROW, Failures, FlowControl
from smsretry.sending.ports import Batch
from tests.proofs.neighbors import tenants, troubles
from tests.proofs.neighbors.platform import day_is_used, moves_in_doubt, moves_in_flight
from tests.proofs.neighbors.report import run
from tests.proofs.neighbors.street import TIMEOUT_SECONDS, Neighbor
from tests.proofs.neighbors.tenants import well_behaved
from tests.proofs.town.report import Report
from tests.proofs.town.safeguards import ACCOUNT, BEGIN, SENDER, Safeguard, trigger, without

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


def _the_senders(self: FlowControl, sender: Any, _: Claim, why: str, *, counted: bool = False) -> None:
    """A refusal that may be one destination's was the account's."""
    if not counted:
        self._stop_sender(sender, why)


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """A safeguard, and whom it takes to see its absence, in a short run."""

    without: Safeguard
    sees: str
    """What the judge finds then."""
    neighbors: Callable[[], Sequence[Neighbor]]
    minutes: int = 20
    stale: int = 1
    timeout_seconds: float = TIMEOUT_SECONDS

    def run(self, stack: Stack, *, seed: str) -> Report:
        """A short run without it."""
        options = {"minutes": self.minutes, "stale": self.stale, "timeout_seconds": self.timeout_seconds}
        with without(stack, self.without):
            return run(stack, self.neighbors(), seed=seed, **options)


def _edit(function: str, *edits: tuple[str, str], **more: Any) -> Safeguard:
    return Safeguard(replaces=function, edits=edits, **more)


def _with(*neighbors: Neighbor, good: int = 4) -> Callable[[], Sequence[Neighbor]]:
    return lambda: [well_behaved(good), *neighbors]


SWITCHES: Final = {
    "suspects": Switch(
        without=Safeguard(sql=trigger("new.recover_count := 0;")),
        sees="late",
        neighbors=_with(troubles.poison, good=20),
    ),
    "suspects in doubt": Switch(
        without=Safeguard(sql=trigger("if new.in_doubt_since is not null then new.recover_count := 0; end if;")),
        sees="late",
        neighbors=_with(troubles.poison_in_doubt, good=40),
        minutes=40,
        stale=3,
    ),
    "unlimited recovery": Switch(
        without=Safeguard(
            sql=trigger(
                """if new.status = 'pending' and new.recover_count >= 3 then
                       new.status := 'failed'; new.last_error := 'Its worker died 3 times'; new.why := null;
                   end if;"""
            )
        ),
        sees="failed",
        neighbors=_with(troubles.killer(1.0), good=6),
        minutes=30,
    ),
    "row by row": Switch(
        without=Safeguard(patches=((queue, "read_rows", _all_or_nothing),)),
        sees="late",
        neighbors=_with(tenants.odd_values, good=12),
    ),
    "giving back": Switch(
        without=Safeguard(
            patches=((SupabaseQueue, "put_off", _keep), (FlowControl, "database_failed", lambda *_: None))
        ),
        sees="late",
        neighbors=_with(troubles.revoked_grant(2), good=12),
        minutes=24,
        stale=8,
    ),
    "lock timeout": Switch(
        without=_edit("smsretry.fenced", (r"perform set_config\('lock_timeout',.*?;", "")),
        sees="unanswered",
        # The lock ends with the first call that is given up: every timeout would take a quarter of a minute.
        neighbors=_with(troubles.idle_transaction(1, texts=2, until_given_up=True), good=6),
        minutes=6,
        timeout_seconds=3.0,
    ),
    "claims row by row": Switch(
        without=_edit(
            "smsretry.take", (r"for v_try in 0 \.\. coalesce\(cardinality\(take\.ids\), 0\)", "for v_try in 0 .. 0")
        ),
        sees="late",
        neighbors=_with(troubles.refusing_trigger, good=40),
    ),
    "undecodable answers": Switch(
        without=Safeguard(patches=((SupabaseCalls, "_once", _read_at_once),)),
        sees="untrue end",
        neighbors=_with(troubles.undecodable_answers),
        minutes=12,
    ),
    "changed numbers": Switch(
        without=_edit(
            BEGIN,
            (r"v_customer\.phone is distinct from v_phone", "false"),
            (r"<> decided_by", "is null"),
        ),
        sees="astray",
        neighbors=_with(troubles.mid_flight),
    ),
    "deleted in mid-flight": Switch(
        without=_edit(BEGIN, (r"v_customer\.id is null or v_told\.channel is distinct from 'sms'", "false")),
        sees="untrue end",
        neighbors=_with(troubles.mid_flight),
    ),
    "several businesses": Switch(
        without=Safeguard(patches=((FlowControl, "_business_failed", _the_senders),)),
        sees="late",
        neighbors=_with(tenants.refused("refused destinations", 2, 4), good=12),
        minutes=8,
    ),
    "several fail, and what has stopped is tried": Switch(  # each would do alone
        without=_edit(
            "smsretry.rooms",
            (r"(s\.id::text = any \(x\.senders\)) then 1", r"\1 then 0"),
            patches=((Failures, "are_of_all", _whosever_they_are),),
        ),
        sees="late",
        neighbors=_with(tenants.comes_to_nothing("a firewall's page", HtmlError(http_status=403), 60), good=12),
        minutes=8,
    ),
    "what was sent": Switch(
        without=Safeguard(patches=((SupabaseQueue, "claim_texts", _as_the_rows_say_now),)),
        sees="doubled",
        neighbors=_with(troubles.edited_in_doubt),
        minutes=28,
    ),
    "the log's SID": Switch(
        without=Safeguard(
            replaces="smsretry.is_anothers",
            sql="""create or replace function smsretry.is_anothers(sid text, attempt_id uuid, send_log_id uuid)
                   returns boolean language sql stable as $$
                       select exists (
                           select 1 from public.sms_send_attempts a
                           where a.twilio_sid = is_anothers.sid and a.id is distinct from is_anothers.attempt_id)
                   $$""",
        ),
        sees="lost",
        neighbors=_with(troubles.sends_by_itself),
    ),
    "kept consent": Switch(
        without=Safeguard(
            replaces="smsretry.keep_consent",
            sql="""create or replace function smsretry.keep_consent()
                   returns trigger language plpgsql as 'begin return new; end'""",
        ),
        sees="after an opt-out",
        neighbors=_with(tenants.two_rows),
    ),
    "own words": Switch(
        without=Safeguard(
            replaces="smsretry.means_stop",
            sql="""create or replace function smsretry.means_stop(body text)
                   returns text language sql immutable as $$
                       select 'keyword' where upper(btrim(means_stop.body, E' \\t\\r\\n'))
                           in ('STOP', 'STOPALL', 'UNSUBSCRIBE', 'END', 'QUIT', 'CANCEL', 'REVOKE', 'OPTOUT')
                   $$""",
        ),
        sees="after an opt-out",
        neighbors=_with(tenants.own_words),
    ),
    "dates that have not come": Switch(
        without=_edit(
            "smsretry.keep_consent",
            (r" and not smsretry\.has_borne\(v_key, new\.sms_consent_at\)", ""),
            (r" and new\.sms_consent_at <= v_now \+ interval '5 minutes'", ""),
            (r"least\(new\.sms_consent_at, v_now\)", "new.sms_consent_at"),
        ),
        sees="after an opt-out",
        neighbors=_with(tenants.opted_in_tomorrow),
    ),
    "holding": Switch(
        without=Safeguard(patches=((SupabaseQueue, "put_off", _fail),)),
        sees="untrue end",
        neighbors=_with(tenants.broken_settings),
        minutes=40,
    ),
    "turns go on": Switch(
        without=_edit("smsretry.texts_in_turn", (r"< 4 \* v_step as are_all", "is not null as are_all")),
        sees="late",
        neighbors=_with(tenants.backlog(20), good=10),
        minutes=10,
    ),
    "turns of all": Switch(
        without=_edit(
            "smsretry.in_turn", (r"order by w\.turn, w\.served nulls first, w\.business_id", "order by w.id")
        ),
        sees="late",
        neighbors=_with(tenants.scheduled_flood(290)),
        minutes=16,
    ),
    "the business's sender": Switch(without=SENDER, sees="wrong sender", neighbors=_with(moves_in_flight)),
    "the sender's account": Switch(without=ACCOUNT, sees="doubled", neighbors=_with(moves_in_doubt), minutes=40),
    "who heard the stop": Switch(
        without=Safeguard(
            replaces="smsretry.heard_by",
            sql="""create or replace function smsretry.heard_by(
                       number text, service text, account text, out senders text[], out lifts boolean)
                   language sql stable as 'select null::text[], false'""",
        ),
        sees="untrue end",
        neighbors=_with(tenants.stop_at_one),
    ),
    "a day's cap": Switch(
        without=_edit("smsretry.take_turn", (r"then v_used \+ segments else 0 end", "then 0 else 0 end")),
        sees="bugs",
        neighbors=_with(day_is_used),
        minutes=16,
    ),
}
