"""Stories of texts, a step a line: what happens, and after a colon what is seen then.

    text
    Twilio loses the answer
    run: InDoubt
    61 seconds
    run: Sent                       # found in Twilio's list
    it: completed sent
    it.sends.outcome settled_by: accepted, reconcile

A text is called `it`, or by the name that follows `text`. `it/2` is the message of its second send, and `it` the last
where a message is meant; `ledger/1` is the first that Twilio has, and `nobody` is somebody else's. Three dots stand for
anything.
"""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final
from uuid import UUID, uuid4

import psycopg
import pytest

from smsretry.adapters.desk import Desk
from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.adapters.twilio.errors import code_meaning
from smsretry.desk.actions.requests import Cancel, ExplainText
from smsretry.desk.questions.explanation import Explanation
from smsretry.local.stack import SENDER
from smsretry.local.twilio.faults import (
    AcceptThenDrop,
    DropUnaccepted,
    FetchError,
    HtmlError,
    JsonError,
    ListError,
)
from smsretry.retry.models import Claim
from smsretry.retry.profile import DEFAULT
from smsretry.sending.delivering import sync_deliveries
from smsretry.sending.ports import Services
from smsretry.sending.scheduled import queue_scheduled_sends
from tests.integration import hearing
from tests.support.builders import AT_ONCE, BODY, PHONE, SID, sent_by_hand
from tests.support.claims import next_due
from tests.support.shop import Shop

FAULTS: Final[dict[str, Any]] = {
    "loses the answer": AcceptThenDrop(),
    "loses the text": DropUnaccepted(),
    "has no list": ListError(),
    "cannot say": FetchError(),
    "has no such message": FetchError(20404, http_status=404),
    "shows a page": HtmlError(http_status=503),
}
MEANS: Final = {
    "an accepted text": """
        text
        run: Sent""",
    "a lost text": """
        an accepted text
        it is undelivered 30008
        6 minutes
        deliveries: 1 retried""",
    "a lost text whose next send is refused, queued anew": """
        a lost text
        31 minutes
        Twilio refuses 21612
        run: Failed
        the application queues it anew as new""",
    "a text in doubt that Twilio has": """
        text
        Twilio loses the answer
        run: InDoubt""",
    "a text in doubt that Twilio has not": """
        text
        Twilio loses the text
        run: InDoubt""",
    "its life ends before Twilio's list could be had": """
        Twilio has no list always
        49 hours
        run: Failed
        Twilio is well""",
    "a look begins": """
        5 minutes
        sql create temp table look as select attempt_id, asks from claim_sms_deliveries(10)""",
}
"""Steps that stand for several."""
_CUSTOMER = """select customer_id from sms_retry_queue where id = %s union all
select id from customers where id = %s"""
_SETTLE = "select settle_sms_attempt(%s, %s, delivery_status => %s, error_code => %s)"

_DECIDE = "finish_sms_delivery(attempt_id, asks, {}) from look"


class Story:
    """The texts of a shop by their names, and what is done to them."""

    def __init__(self, shop: Shop) -> None:
        self.shop, self.rows = shop, dict[str, UUID]()
        self.neighbor: Shop | None = None
        self.kept = dict[str, object]()
        self.claims = list[Claim]()

    def tell(self, story: str) -> None:
        """Take the steps, and compare what is seen."""
        lines = [line.strip() for line in story.splitlines()]
        for line in filter(None, lines):
            if line in MEANS:
                self.tell(MEANS[line])
                continue
            line = re.sub(r"\s{2,}# .*", "", line)
            step, _, expected = line.partition(": ")
            if step.startswith("sql "):
                step, expected = line, ""
            seen = self._show(self.take(step.removesuffix(":")))
            if expected or step.endswith(":"):
                pattern = re.escape(expected).replace(r"\.\.\.", ".*")
                assert re.fullmatch(pattern, seen, re.DOTALL), (
                    f"{line}\nbut it is: {seen}"
                )

    def take(self, step: str) -> object:
        """One step; what is seen after it."""
        for pattern, does in _STEPS:
            if words := re.fullmatch(pattern, step):
                seen: object = does(self, *words.groups())
                return seen
        raise LookupError(f"No such step: {step}")

    def sid(self, name: str) -> str:
        """Of a message."""
        text, _, number = name.partition("/")
        if text == "ledger":
            return self.shop.messages[int(number) - 1].sid
        if text not in self.rows:
            return SID
        sids = self.shop.sends(self.rows[text], "twilio_sid")
        return str(sids[int(number or 0) - 1])

    def _text(self, whose: str, kind: str, name: str | None, options: str) -> None:
        if whose and self.neighbor is None:
            self.neighbor = self.shop.neighbor()
        shop = self.neighbor if whose and self.neighbor else self.shop
        given = dict[str, Any](re.findall(r"(\w+)=(\S*)", options))
        for key, value in given.items():
            if key == "due":
                given[key] = timedelta(minutes=float(value))
            elif value == "None":
                given[key] = None
            elif value.isdigit():
                given[key] = int(value)
        makes: dict[str, Callable[..., UUID]] = {
            "text": shop.due_text,
            "planned": shop.scheduled,
            "customer": shop.customer,
        }
        self.rows[(name or "it").strip()] = makes[kind](**given)

    def _queue_anew(self, how: str, name: str, new: str, attempts: str | None) -> None:
        row = self.shop.row(self.rows[name])
        log, queue = row["send_log_id"], "select retry_id from queue_sms_retry(%s)"
        if how == "inserts":
            self.rows[new] = self.shop.queue_row(
                log, row["customer_id"], attempts=int(attempts or 0)
            )
        else:
            self.rows[new] = self.shop.value(queue, log)

    def _another(self, name: str, to: str) -> None:
        found = self.shop.sql(_CUSTOMER, self.rows[to], self.rows[to])
        customer = found[0]["customer_id"]
        self.rows[name] = self.shop.queue_row(self.shop.send_log(customer), customer)

    def _claim(self) -> list[UUID]:
        self.claims = self.shop.claims()
        return [claim.id for claim in self.claims]

    def _begin(self) -> list[str]:
        claims = self.claims or self.shop.claims()
        return [self.shop.begin(claim).answer for claim in claims]

    def _application_claims(self) -> list[UUID]:
        claimed = self.shop.sql("select id from claim_due_sms_retries(50)")
        return [row["id"] for row in claimed]

    def _by_hand(self, name: str) -> None:
        customer = self.shop.row(self.rows[name])["customer_id"]
        phone = hearing.customer_of(self.shop, customer)["phone"]
        body = self.shop.log_of(self.rows[name])["subject"]
        sent_by_hand(self.shop.provider, phone, body)

    def _record(self, said: Any, everywhere: str | None, source: str) -> list[int]:
        everybody = everywhere is not None
        done = self.shop.record_consent(said, source, everywhere=everybody)
        return [done.customers, done.cancelled, done.unmarked]

    def _passes(self, number: str, unit: str) -> None:
        self.shop.later(**{f"{unit}s": float(number)})

    def _run(self, at_once: str | None) -> list[str]:
        return sorted(self.shop.run(AT_ONCE if at_once else DEFAULT))

    def _lives(self, minutes: str) -> list[str]:
        fates = list[str]()
        for _ in range(int(minutes)):
            self.shop.later(minutes=1)
            if next_due(self.shop.connection) == 0:
                fates += self.shop.run()
        return fates

    def _deliveries(self) -> str:
        services = Services(self.shop.queue, self.shop.provider, DEFAULT)
        summary = sync_deliveries(services, limit=100)
        return f"{summary}{', needs attention' if summary.needs_attention else ''}"

    def _carriers(self, code: str) -> None:
        refused = self.shop.twilio.accounts.main.refused_by_carriers
        refused.clear()
        if code.isdigit():
            refused[SENDER] = int(code)

    def _twilio(self, fault: str, to: str | None, always: str | None) -> None:
        code, _, status = fault.removeprefix("refuses ").partition(" ")
        known = FAULTS.get(fault) or JsonError(
            int(code), http_status=int(status or 400)
        )
        self.shop.twilio.fail(known, to=to, times=None if always else 1)

    def _report(self, name: str, status: str, code: str | None) -> None:
        self.shop.twilio.report(self.sid(name), status, int(code) if code else None)

    def _callback(
        self, attempt: str | None, name: str, status: str | None, code: str | None
    ) -> object:
        text, _, number = (attempt or "").partition("/")
        known = uuid4() if attempt else None
        if text in self.rows:
            known = self.shop.sends(self.rows[text], "id")[int(number or 0) - 1]
        values = (known, self.sid(name), status, code and int(code))
        return self.shop.value(_SETTLE, *values)

    def _hear(self, words: str, phone: str | None) -> object:
        return hearing.answer(self.shop, body=words, phone=phone or PHONE)["answer"]

    def _plan(self, name: str) -> list[object]:
        planned = self.shop.scheduled_send(self.rows[name])
        return [planned["status"], planned["why"]]

    def _plans(self) -> list[str]:
        return sorted(
            send.result for send in queue_scheduled_sends(self.shop.queue).sends
        )

    def _sql(self, statement: str) -> None:
        self.shop.sql(self._with_ids(statement))

    def _refused(self, statement: str) -> str:
        with pytest.raises(psycopg.Error) as refused:
            self._sql(statement)
        return str(refused.value)

    def _value(self, statement: str) -> object:
        return self.shop.value(self._with_ids(f"select {statement}"))

    def _with_ids(self, statement: str) -> str:
        for name, row in [("business", self.shop.id), *self.rows.items()]:
            statement = statement.replace(f"{{{name}}}", f"'{row}'")
        return statement

    def _ends(self, name: str) -> str:
        return " ".join(self.shop.statuses(self.rows[name]))

    def _columns(self, name: str, of: str | None, names: str) -> list[object]:
        row, columns = self.rows[name], names.split()
        if of == "sends.":
            attempts = self.shop.attempts_of(row)
            return [attempt[column] for column in columns for attempt in attempts]
        record = self.shop.log_of(row) if of else self.shop.row(row)
        return [record[column] for column in columns]

    def _waits(self, name: str) -> str:
        wait = self.shop.row(self.rows[name])["scheduled_for"] - self.shop.now()
        return f"{-(-wait // timedelta(minutes=1))} minutes"

    def _explanation(self, name: str) -> Explanation:
        with SupabaseOperators(self.shop.stack.settings()) as operators:
            desk = Desk(operators, profile=AT_ONCE, meaning=code_meaning)
            [explanation] = desk.explain(ExplainText(id=self.rows[name]))
        words = explanation.model_dump_json() + "".join(explanation.happened)
        assert not [private for private in (PHONE[2:], BODY) if private in words]
        return explanation

    def _tells(self, name: str, starts: str) -> str:
        happened = self._explanation(name).happened
        lines = [line.partition("  ")[2] or line for line in happened]
        return " | ".join(
            line for line in lines if line.startswith(tuple(starts.split(" / ")))
        )

    def _keep(self, name: str, of: str | None) -> None:
        self.kept[name] = self._all_of(name, of)

    def _is_kept(self, name: str, of: str | None) -> bool:
        return self.kept[name] == self._all_of(name, of)

    def _all_of(self, name: str, of: str | None) -> object:
        row = self.rows[name]
        return self.shop.attempts_of(row) if of else self.shop.row(row)

    def _show(self, seen: object) -> str:
        if isinstance(seen, list | tuple):
            shown = ", ".join(map(self._show, seen))
            return shown if isinstance(seen, list) else f"({shown})"
        if isinstance(seen, dict) and "twilio_sid" in seen:
            seen = seen["twilio_sid"]
        shown = str(seen)
        for name, row in self.rows.items():
            shown = shown.replace(str(row), name)
            for number, sid in enumerate(self.shop.sends(row, "twilio_sid"), start=1):
                shown = shown.replace(str(sid or row), f"{name}/{number}")
        return shown.replace(SID, "nobody")


_STEPS: Final[list[tuple[str, Callable[..., object]]]] = [
    (r"(neighbor's )?(text|planned|customer)( \w+)?((?: \w+=\S*)*)", Story._text),
    (r"the application (queues|inserts) (\w+) anew as (\w+)(?: attempts=(\d+))?", Story._queue_anew),
    (r"(-?[\d.]+) (second|minute|hour|day)s?", Story._passes),
    (r"run( at once)?", Story._run),
    (r"(\d+) runs", Story._lives),
    (r"deliveries", Story._deliveries),
    (r"Twilio is well", lambda story: story.shop.twilio.heal()),
    (r"Twilio (.+?)(?: to (\+\d+))?( always)?", Story._twilio),
    (r"(\S+) is (delivered|undelivered|failed|sent|canceled|partially_delivered|read)(?: (\d+))?", Story._report),
    (r"callback(?: of the attempt of (\S+))? (\S+)(?: (\w+))?(?: (\d+))?", Story._callback),
    (r"they write (.+?)(?: from (\+\d+))?", Story._hear),
    (r"sql (.+)", Story._sql),
    (r"refused (.+)", Story._refused),
    (r"select (.+)", Story._value),
    (r"decide (.+)", lambda story, decision: story._value(_DECIDE.format(decision))),
    (r"cancel (\w+)", lambda story, name: story.shop.change(Cancel, retry_ids=[story.rows[name]]).changed),
    (r"(\w+) tells (.+)", Story._tells),
    (r"(\w+) goes on", lambda story, name: story._explanation(name).next),
    (r"(\w+) is told", lambda story, name: story._explanation(name).headline),
    (r"requeue (\w+)", lambda story, name: story.shop.requeue(story.rows[name]).changed),
    (r"(\w+) (?:went out as (\S+)|did not go out)",
     lambda story, name, sid: story.shop.resolve(story.rows[name], sid and story.sid(sid))),
    (r"recover", lambda story: story.shop.recover()),
    (r"another text (\w+) to (\w+)", Story._another),
    (r"claim", Story._claim),
    (r"begin", Story._begin),
    (r"the application claims", Story._application_claims),
    (r"somebody sends (\w+) by hand", Story._by_hand),
    (r"a person records (\w+)( everywhere)? by (\w+)", Story._record),
    (r"plans", Story._plans),
    (r"plan (\w+)", Story._plan),
    (r"prune", lambda story: story.shop.prune()),
    (r"their opt-out stands", lambda story: hearing.is_out(story.shop)),
    (r"consents", lambda story: hearing.consents(story.shop)),
    (r"carriers (take them|\d+)", Story._carriers),
    (r"questions", lambda story: story.shop.twilio.fetches),
    (r"messages", lambda story: len(story.shop.messages)),
    (r"keep (\w+)(\.sends)?", Story._keep),
    (r"(\w+)(\.sends)? is as it was", Story._is_kept),
    (r"(\w+) waits", Story._waits),
    (r"(\w+)", Story._ends),
    (r"(\w+)\.(log\.|sends\.)?([\w ]+)", Story._columns),
]  # fmt: skip
