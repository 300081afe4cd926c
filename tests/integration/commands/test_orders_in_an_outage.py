"""An order that could not be kept says so. Only a worker's call may say that the next run tries again."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from uuid import UUID

import pytest
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import Receive, Scope, Send

from smsretry.adapters.supabase import calls
from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.provider import TwilioProvider
from smsretry.errors import QueueBusy, QueueUnreachable
from smsretry.local.process.http import free_port
from smsretry.local.stack import Stack
from smsretry.sending import entry
from smsretry.settings import Settings
from tests.conftest import Business
from tests.integration.commands.test_every_command import least as least
from tests.integration.conftest import Command
from tests.integration.isolation.test_bad_input import answering, changed
from tests.support.builders import BODY, NOON, PHONE
from tests.support.claims import claim_due

NOTHING = "Nothing was recorded, and nothing repeats it: give the order again"
UNKNOWN = "It is not known whether it was recorded, and nothing repeats it: look with `smsretry explain`, `status` or"
ROW = UUID(int=1)
YES = ["--yes", "--who", "Ann", "--because", "Asked"]
ONE = ["consent", "stop", "senders change", "texts resolve", "prune"]
MANY = ["texts requeue", "texts cancel", "after-restore"]
"""Without a yes they are only tried."""
QUESTIONS = ["explain", "status", "preview", "texts list"]


def _json(status: int, code: str) -> Response:
    return JSONResponse(
        {"code": code, "message": "…", "details": None, "hint": None},
        status_code=status,
    )


OUTAGES: dict[str, tuple[Callable[[], Response] | None, str]] = {
    "refused connection": (None, NOTHING),
    "502, a gateway's page": (
        lambda: HTMLResponse("<html>Bad gateway</html>", 502),
        UNKNOWN,
    ),
    "503, no connection to the database": (lambda: _json(503, "PGRST000"), NOTHING),
    "503, a connection that broke": (lambda: _json(503, "PGRST001"), UNKNOWN),
    "500, statement timeout": (lambda: _json(500, "57014"), NOTHING),
    "500, a lock": (lambda: _json(500, "55P03"), NOTHING),
    "504, pool exhausted": (lambda: _json(504, "PGRST003"), NOTHING),
    "400 without a code": (lambda: _json(400, ""), UNKNOWN),
}


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "_PAUSES", (0.0, 0.0))


@contextmanager
def _away(
    settings: Settings, answer: Callable[[], Response] | None
) -> Iterator[SupabaseQueue]:
    with ExitStack() as stack:
        if answer:
            yield stack.enter_context(answering(answer(), settings))
        else:
            nowhere = changed(settings, supabase_url=f"http://127.0.0.1:{free_port()}")
            yield stack.enter_context(SupabaseQueue(nowhere))


def test_a_command_says_whether_its_order_was_recorded(
    command: Command, settings: Settings, least: dict[str, list[str]]
) -> None:
    """And its exit code says that it was not done. Each command in two outages, which are others for each."""
    for n, order in enumerate([*ONE, *MANY, *QUESTIONS] * 2, start=1):
        answer, advice = OUTAGES[list(OUTAGES)[n % len(OUTAGES)]]
        yes = {"prune": ["--yes"], **dict.fromkeys(MANY, YES)}.get(order, [])
        line = [*order.split(), *least[order], *yes]
        with _away(settings, answer) as away:
            result = command(*line, SUPABASE_URL=away.url, columns=1000)
        assert (result.exit_code, "next run" in result.output) == (1, False), order
        words = advice if order not in QUESTIONS else "Ask again."
        assert words in result.output, (order, result.output)


def test_the_application_learns_whether_its_text_was_queued(
    settings: Settings,
) -> None:
    """And with which id a plan may be repeated that may have been kept. A worker's call is made by the next run."""
    for answer, advice in OUTAGES.values():
        with _away(settings, answer) as away, TwilioProvider(settings) as sender:
            orders: list[Callable[[], object]] = [
                partial(entry.queue_sms_retry, ROW, "twilio_error", queue=away),
                partial(entry.send_sms, ROW, queue=away, provider=sender),
                partial(entry.schedule_sms, ROW, ROW, BODY, NOON, queue=away),
            ]
            for order in orders:
                with pytest.raises(QueueUnreachable) as raised:
                    order()
                assert advice.partition(":")[0] in str(raised.value)
                assert "next run" not in str(raised.value)
            assert ("scheduled_id=" in str(raised.value)) is (advice == UNKNOWN)
    with _away(settings, None) as away:
        for work in (partial(claim_due, away, 50), partial(away.recover, 10)):
            with pytest.raises(QueueUnreachable, match="The next run tries again"):
                work()


def test_a_lock_does_not_hide_that_an_earlier_try_may_have_been_made(
    settings: Settings,
) -> None:
    """The first answer was lost on its way. The tries after it did nothing."""
    answers = iter(
        [HTMLResponse("<html>Bad gateway</html>", 502), *[_json(500, "55P03")] * 2]
    )

    async def in_turn(scope: Scope, receive: Receive, send: Send) -> None:
        await next(answers)(scope, receive, send)

    with answering(in_turn, settings) as queue, pytest.raises(QueueBusy) as raised:
        queue.finish_run(ROW, "", needs_attention=False)
    assert not raised.value.undone


def test_an_opt_in_is_given_again_only_without_a_stop(
    command: Command, stack: Stack, business: Business
) -> None:
    """A STOP that came meanwhile would be undone by it."""
    customer = business.row(business.due_text(phone=PHONE))["customer_id"]
    stack.rpc_faults.drop_after_commit("record_sms_consent")
    opt_in = ("consent", customer, "--said", "opted_in", "--source", "telephone")
    result = command(*opt_in, "--because", "Asked", columns=1000)
    assert result.exit_code == 1
    assert (
        "Give it again if it was not, and if they have not said stop since."
        in result.output
    )


def test_a_requeue_whose_answer_was_lost_is_not_given_again(
    command: Command, stack: Stack, business: Business
) -> None:
    """The text may have failed once more by then: a second requeue would send it again."""
    row = business.due_text()
    business.connection.execute(
        "update sms_retry_queue set status = 'failed', last_error = 'x' where id = %s",
        [row],
    )
    stack.rpc_faults.drop_after_commit("change_sms_texts")
    result = command("texts", "requeue", "--row", row, *YES, columns=1000)
    assert UNKNOWN in result.output
    events = business.connection.execute(
        "select code from smsretry.events where about = %s and who = 'Ann'", [row]
    ).fetchall()
    assert [event["code"] for event in events] == ["requeued"]


@pytest.mark.parametrize("function", ["claim_sms_retry", "finish_sms_attempt"])
def test_a_first_send_that_could_not_be_seen_through_says_where_its_text_is(
    queue: SupabaseQueue,
    sender: TwilioProvider,
    stack: Stack,
    business: Business,
    function: str,
) -> None:
    """It is in the queue by then, and the worker goes on with it: nobody is to send it again."""
    log = business.send_log(business.customer())
    stack.rpc_faults.bad_gateway(function, times=3)
    with pytest.raises(QueueUnreachable) as raised:
        entry.send_sms(log, queue=queue, provider=sender)
    (row,) = business.connection.execute(
        "select id from sms_retry_queue where send_log_id = %s", [log]
    ).fetchall()
    assert str(raised.value).endswith(
        f"The text is in the queue as row {row['id']}: the worker sees it through."
    )
