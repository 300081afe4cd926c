"""Each mending, taken away: to see that the checks notice its absence, and with which neighbors they do."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from smsretry.adapters.supabase import queue
from smsretry.adapters.supabase.calls import SupabaseCalls
from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.local.stack import Stack
from smsretry.local.twilio.faults import HtmlError
from smsretry.sending.flow_control import Failures, FlowControl
from tests.proofs.neighbors import earlier
from tests.proofs.neighbors.deaths import Killer, Poison, PoisonInDoubt
from tests.proofs.neighbors.midflight import Changer, Editor, Twin
from tests.proofs.neighbors.moved import MovesInDoubt, MovesInFlight
from tests.proofs.neighbors.odd import Odd
from tests.proofs.neighbors.platform import DayIsUsed
from tests.proofs.neighbors.poor import Firewalled
from tests.proofs.neighbors.report import Report, run
from tests.proofs.neighbors.slow import Refuser
from tests.proofs.neighbors.stoppers import OwnWords, StopAtOne, Tomorrow
from tests.proofs.neighbors.street import TIMEOUT_SECONDS, Neighbor
from tests.proofs.neighbors.tenants import Refused, Settings, TwoRows, WellBehaved
from tests.proofs.neighbors.troubles import Grants, Locker, Unreadable
from tests.proofs.neighbors.turns import Backlog, ScheduledFlood
from tests.support.safeguards import Safeguard, without

_TRIGGER: Final = """
    create function smsretry.spoilt() returns trigger language plpgsql as $$ begin {body} return new; end $$;
    create trigger spoilt before update on public.sms_retry_queue for each row execute function smsretry.spoilt();
"""
_BEGIN: Final = "public.begin_sms_attempt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch(Safeguard):
    """One mending that can be taken away."""

    sees: str
    """What the checks find then."""
    neighbors: Callable[[], Sequence[Neighbor]]
    """Whom it takes to see it, in a short run."""
    minutes: int = 20
    stale: int = 1
    timeout_seconds: float = TIMEOUT_SECONDS

    def run(self, stack: Stack, *, seed: str) -> Report:
        """A short run without the mending."""
        with without(stack, self):
            neighbors = self.neighbors()
            return run(
                stack,
                neighbors,
                minutes=self.minutes,
                seed=seed,
                stale=self.stale,
                timeout_seconds=self.timeout_seconds,
            )


SWITCHES: Final = {
    "suspects": Switch(
        sees="late",
        neighbors=lambda: [WellBehaved(20), Poison()],
        sql=_TRIGGER.format(body="new.recover_count := 0;"),
    ),
    "unlimited recovery": Switch(
        sees="failed",
        neighbors=lambda: [WellBehaved(6), Killer(every=True)],
        sql=_TRIGGER.format(
            body="""if new.status = 'pending' and new.recover_count >= 3 then
                        new.status := 'failed'; new.last_error := 'Its worker died 3 times'; new.why := null;
                    end if;"""
        ),
        minutes=30,
    ),
    "row by row": Switch(
        sees="late",
        neighbors=lambda: [WellBehaved(12), Odd()],
        patches=((queue, "read_rows", earlier.all_or_nothing),),
    ),
    "giving back": Switch(
        sees="late",
        neighbors=lambda: [WellBehaved(12), Grants(minutes=2)],
        patches=((SupabaseQueue, "put_off", earlier.keep), (FlowControl, "database_failed", earlier.nothing)),
        minutes=24,
        stale=8,
    ),
    "lock timeout": Switch(
        sees="unanswered",
        # The lock ends with the first call that is given up: every timeout would take a quarter of a minute.
        neighbors=lambda: [WellBehaved(6), Locker(minutes=1, until_given_up=True)],
        minutes=6,
        timeout_seconds=3.0,
        edits=((r"perform smsretry\.wait_shortly\(\);", ""),),
        sql="alter function public.begin_sms_attempt reset lock_timeout",
        replaces=_BEGIN,
    ),
    "claims row by row": Switch(
        sees="late",
        neighbors=lambda: [WellBehaved(40), Refuser()],
        edits=((r"for v_try in 0 \.\. coalesce\(cardinality\(take\.ids\), 0\)", "for v_try in 0 .. 0"),),
        replaces="smsretry.take",
    ),
    "suspects in doubt": Switch(
        sees="late",
        neighbors=lambda: [WellBehaved(40), PoisonInDoubt()],
        sql=_TRIGGER.format(body="if new.in_doubt_since is not null then new.recover_count := 0; end if;"),
        minutes=40,
        stale=3,
    ),
    "undecodable answers": Switch(
        sees="untrue end",
        neighbors=lambda: [WellBehaved(4), Unreadable()],
        patches=((SupabaseCalls, "_once", earlier.read_at_once),),
        minutes=12,
    ),
    "changed numbers": Switch(
        sees="astray",
        neighbors=lambda: [WellBehaved(4), Changer()],
        edits=(
            (r"v_customer\.phone is distinct from coalesce\(phone, v_customer\.phone\)", "false"),
            (r"<> decided_by", "is null"),
        ),
        replaces=_BEGIN,
    ),
    "deleted in mid-flight": Switch(
        sees="untrue end",
        neighbors=lambda: [WellBehaved(4), Changer()],
        edits=((r"v_customer\.id is null or v_log\.id is null or v_log\.channel::text <> 'sms'", "false"),),
        replaces=_BEGIN,
    ),
    "several businesses": Switch(
        sees="late",
        neighbors=lambda: [WellBehaved(12), Refused()],
        patches=((FlowControl, "_business_failed", earlier.the_senders),),
        minutes=8,
    ),
    "several fail, and what has stopped is tried": Switch(  # each would do alone
        sees="late",
        neighbors=lambda: [WellBehaved(12), Firewalled(HtmlError(http_status=403), "a firewall's page", 60)],
        patches=((Failures, "are_of_all", earlier.whosever_they_are),),
        edits=((r"(x\.kind = 'sender' and x\.subject = s\.id::text\)) then 1", r"\1 then 0"),),
        replaces="smsretry.rooms",
        minutes=8,
    ),
    "what was sent": Switch(
        sees="doubled",
        neighbors=lambda: [WellBehaved(4), Editor()],
        patches=((SupabaseQueue, "claim_texts", earlier.as_the_rows_say_now),),
        minutes=28,
    ),
    "the log's SID": Switch(
        sees="lost",
        neighbors=lambda: [WellBehaved(4), Twin()],
        sql="""create or replace function smsretry.is_anothers(sid text, attempt_id uuid, send_log_id uuid)
               returns boolean language sql stable as $$
                   select exists (select 1 from public.sms_send_attempts a
                                  where a.twilio_sid = is_anothers.sid and a.id is distinct from is_anothers.attempt_id)
               $$""",
        replaces="smsretry.is_anothers",
        minutes=20,
    ),
    "kept consent": Switch(
        sees="unwanted",
        neighbors=lambda: [WellBehaved(4), TwoRows()],
        sql="""create or replace function smsretry.keep_consent()
               returns trigger language plpgsql as 'begin return new; end'""",
        replaces="smsretry.keep_consent",
    ),
    "own words": Switch(
        sees="unwanted",
        neighbors=lambda: [WellBehaved(4), OwnWords()],
        sql="""create or replace function smsretry.means_stop(body text)
               returns text language sql immutable as $$
                   select 'keyword' where upper(btrim(means_stop.body, E' \\t\\r\\n'))
                       in ('STOP', 'STOPALL', 'UNSUBSCRIBE', 'END', 'QUIT', 'CANCEL', 'REVOKE', 'OPTOUT')
               $$""",
        replaces="smsretry.means_stop",
    ),
    "dates that have not come": Switch(
        sees="unwanted",
        neighbors=lambda: [WellBehaved(4), Tomorrow()],
        edits=(
            (r"(?s)        if smsretry\.has_borne\(.*?end if;\n", ""),
            (r" and new\.sms_consent_at <= v_now \+ smsretry\.fast_clock\(\)", ""),
            (r"least\(new\.sms_consent_at, v_now\)", "new.sms_consent_at"),
        ),
        replaces="smsretry.keep_consent",
    ),
    "holding": Switch(
        sees="untrue end",
        neighbors=lambda: [WellBehaved(4), Settings()],
        patches=((SupabaseQueue, "put_off", earlier.fail),),
        minutes=40,
    ),
    "turns go on": Switch(
        sees="late",
        neighbors=lambda: [WellBehaved(10), Backlog(40)],
        edits=(
            (
                r"order by c\.turn, c\.of_business nulls first, c\.served nulls first, c\.business_id",
                "order by c.business_id",
            ),
        ),
        replaces="smsretry.texts_in_turn",
        minutes=10,
    ),
    "the business's sender": Switch(
        sees="wrong sender",
        neighbors=lambda: [WellBehaved(4), MovesInFlight()],
        edits=((r"or sender_id is distinct from \(", "or null = ("),),
        replaces=_BEGIN,
    ),
    "the sender's account": Switch(
        sees="doubled",
        neighbors=lambda: [WellBehaved(4), MovesInDoubt()],
        patches=((TwilioSender, "look_up", earlier.in_the_environments_account),),
        minutes=40,
    ),
    "who heard the stop": Switch(
        sees="untrue end",
        neighbors=lambda: [WellBehaved(4), StopAtOne()],
        sql="""create or replace function smsretry.heard_by(
                   number text, service text, account text, out senders text[], out lifts boolean)
               language sql stable as 'select null::text[], false'""",
        replaces="smsretry.heard_by",
    ),
    "a day's cap": Switch(
        sees="bugs",
        neighbors=lambda: [WellBehaved(4), DayIsUsed()],
        edits=((r"then v_used \+ segments else 0 end", "then 0 else 0 end"),),
        replaces="smsretry.take_turn",
        minutes=16,
    ),
    "turns of all": Switch(
        sees="late",
        neighbors=lambda: [WellBehaved(4), ScheduledFlood(290)],
        edits=((r"order by w\.turn, w\.served nulls first, w\.business_id", "order by w.id"),),
        replaces="smsretry.in_turn",
        minutes=16,
    ),
}
