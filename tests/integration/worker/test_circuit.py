"""When the trouble is not the text's: the circuit breaker, the brake, the expiry, the graceful stop."""

from collections import Counter
from datetime import timedelta

import pytest

from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.local.process.http import free_port
from smsretry.local.stack import Stack
from smsretry.local.twilio.faults import AcceptThenDrop, HtmlError, JsonError, SendFault
from smsretry.sending.tally import IN_A_ROW
from smsretry.settings import Settings
from tests.conftest import Business
from tests.support.builders import CONCURRENCY, PHONE, fates_of, run, run_over


def test_a_refused_account_stops_the_run_and_costs_no_text_anything(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """The rest goes back as it was; the next run probes with one; when it works again everything goes out."""
    rows = [business.due_text() for _ in range(40)]
    due = {row: business.row(row)["scheduled_for"] for row in rows}
    stack.twilio.fail(JsonError(20003, http_status=401), times=None)
    refused = run_over(queue, sender)
    fates = fates_of(refused)
    assert (
        refused.flow_control.open_because
        == "The account is refused, not the text: Twilio 20003: Permission Denied. Run `smsretry doctor`"
    )
    assert fates.count("GivenBack") >= 40 - 2 * CONCURRENCY
    untouched = [row for row in rows if business.row(row)["scheduled_for"] == due[row]]
    assert len(untouched) == fates.count("GivenBack")
    assert all(business.row(row)["attempt_count"] == 0 for row in rows)

    before = stack.twilio.posts
    again = Counter(run(queue, sender))
    assert (again["Held"], set(again)) == (1, {"Held", "GivenBack"})
    assert stack.twilio.posts == before + 1

    stack.twilio.heal()
    stack.move_clock(timedelta(minutes=2))
    while fates := run(queue, sender):
        assert "Sent" in fates
        assert set(fates) <= {"Sent", "GivenBack"}
    assert len(stack.twilio.ledger.entries()) == 40


def test_twilio_down_puts_few_texts_in_doubt_and_leaves_the_others_alone(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """Three unclear answers in a row stop the run; each probe after that risks one text."""
    for _ in range(50):
        business.due_text()
    stack.twilio.fail(HtmlError(http_status=503), times=None)
    first = run(queue, sender)
    assert 3 <= first.count("InDoubt") <= 3 + CONCURRENCY
    again = Counter(run(queue, sender))
    assert (again["InDoubt"], set(again)) == (1, {"InDoubt", "GivenBack"})


def test_what_is_in_quiet_hours_does_not_keep_the_circuit_open(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """The first text that may go out is the probe, wherever in the line it is."""
    for _ in range(20):
        business.due_text(timezone="Asia/Tokyo")
    business.due_text()
    queue.set_circuit("Twilio was down")
    assert Counter(run(queue, sender)) == {"Deferred": 20, "Sent": 1}
    assert not any(claim.circuit_open for claim in queue.claim_due(1))


def test_twilio_out_of_reach_stops_the_run_after_three(
    stack: Stack, settings: Settings, business: Business, queue: SupabaseQueue
) -> None:
    """Nothing left, so nothing is in doubt and nothing is counted."""
    rows = [business.due_text() for _ in range(40)]
    nowhere = Settings.model_validate({**settings.model_dump(), "twilio_base_url": f"http://127.0.0.1:{free_port()}"})
    with TwilioSender(nowhere) as sender:
        unreached = run_over(queue, sender)
        fates = fates_of(unreached)
    assert unreached.flow_control.open_because is not None
    assert "Twilio could not be reached" in unreached.flow_control.open_because
    assert fates.count("GivenBack") >= 40 - 3 - CONCURRENCY
    assert all(business.row(row)["attempt_count"] == 0 for row in rows)


def test_twilio_asking_to_go_slower_stops_the_run_but_not_the_next(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """Retry-After is honored, up to a quarter of an hour, and costs no attempt."""
    rows = [business.due_text() for _ in range(30)]
    stack.twilio.fail(JsonError(20429, http_status=429, retry_after=timedelta(minutes=4)))
    slower = run_over(queue, sender)
    fates = fates_of(slower)
    assert fates.count("RetryScheduled") == 1
    assert slower.flow_control.open_because is None
    (slowed,) = [row for row in rows if business.row(row)["reason"] == "rate_limit"]
    wait = business.row(slowed)["scheduled_for"] - stack.now()
    assert timedelta(minutes=3, seconds=50) < wait <= timedelta(minutes=4)
    assert business.row(slowed)["attempt_count"] == 0
    assert set(run(queue, sender)) == {"Sent"}


def test_a_stopped_run_gives_back_at_once_what_it_has_not_begun(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """A deploy costs a text a minute, not ten."""
    for _ in range(20):
        business.due_text()
    stopped = run_over(queue, sender)
    stopped.flow_control.stop("This run was asked to stop (SIGTERM)")
    assert set(fates_of(stopped)) == {"GivenBack"}
    assert not stack.twilio.ledger.entries()
    assert run(queue, sender).count("Sent") == 20


def test_twilio_may_keep_a_text_no_longer_than_it_is_wanted_or_permitted(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """ValidityPeriod is what is left until a minute before closing or the text's expiry, and at most ten hours."""
    stack.move_clock(timedelta(hours=8))  # 20:00 in New York, one hour before closing
    business.due_text()
    soon = business.due_text(phone="+12125550124")
    business.connection.execute(
        "update sms_retry_queue set expires_at = smsretry.clock() + interval '10 minutes' where id = %s", [soon]
    )
    run(queue, sender)
    (late,) = stack.twilio.ledger.entries(PHONE)
    (short,) = stack.twilio.ledger.entries("+12125550124")
    assert late.validity_period is not None
    assert short.validity_period is not None
    assert timedelta(minutes=58, seconds=50) <= late.validity_period <= timedelta(minutes=59)
    assert timedelta(minutes=9, seconds=50) <= short.validity_period <= timedelta(minutes=10)


@pytest.mark.parametrize("seconds", [1, 69])
def test_in_the_last_moments_of_the_window_nothing_is_sent(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, seconds: int
) -> None:
    """Twilio could not be sure to let it go in time."""
    stack.move_clock(timedelta(hours=9) - timedelta(seconds=seconds))
    business.due_text()
    assert run(queue, sender) == ["Deferred"]


def test_a_text_that_would_expire_before_the_morning_is_cancelled_tonight(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """Nobody has to wait to learn that it will not go out."""
    row = business.due_text(timezone="Asia/Tokyo")  # two in the morning
    business.connection.execute("update sms_retry_queue set expires_at = smsretry.clock() + interval '1 hour'")
    assert run(queue, sender) == ["Cancelled"]
    assert business.row(row)["last_error"].startswith(
        "Expires before it may go out. Quiet hours: 08:00–21:00 in Asia/Tokyo"
    )


def test_tenants_who_text_where_the_account_cannot_send_keep_nobody_back(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """Two of them, with fresh rows each minute, had opened the circuit and then been the probe of every run."""
    hostile = [Business(business.connection, stack.now).open() for _ in range(2)]
    good = [Business(business.connection, stack.now).open() for _ in range(3)]
    queue.set_circuit("Twilio was down")
    for minute in range(4):
        for n, tenant in enumerate(hostile * 2):
            phone = f"+1212556{minute}{n:03}"
            stack.twilio.fail(JsonError(21606, http_status=400), to=phone, times=None)
            tenant.due_text(phone=phone, due=timedelta(days=-100))
        rows = [shop.due_text(phone=f"+1646555{minute}{n:03}") for n, shop in enumerate(good)]
        run(queue, sender)
        assert [business.row(row)["status"] for row in rows] == ["completed"] * 3
        stack.move_clock(timedelta(minutes=1))


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(HtmlError(http_status=403), marks=pytest.mark.long),
        pytest.param(HtmlError(http_status=500), marks=pytest.mark.long),
        AcceptThenDrop(),
    ],
    ids=str,
)
def test_a_business_whose_texts_come_to_nothing_keeps_nobody_back(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, fault: SendFault
) -> None:
    """Three in a row had stopped each run, and its text was the next run's probe: others' waited for ever."""
    poor = Business(business.connection, stack.now).open()
    good = [Business(business.connection, stack.now).open() for _ in range(3)]
    for n in range(40):
        stack.twilio.fail(fault, to=f"+1212556{n:04}", times=None)
        poor.due_text(phone=f"+1212556{n:04}", due=timedelta(days=-1))
    begun = []
    for minute in range(4):
        rows = [shop.due_text(phone=f"+1646555{minute}{n:03}") for n, shop in enumerate(good)]
        run(queue, sender)
        assert [business.row(row)["status"] for row in rows] == ["completed"] * 3
        counted = business.connection.execute("select count(*) as n from sms_send_attempts").fetchone()
        begun.append(counted["n"] - 3 * (minute + 1) if counted else 0)
        stack.move_clock(timedelta(minutes=1))
    assert begun[0] == IN_A_ROW
    assert begun[-1] <= IN_A_ROW + 3, "of its own: three, and then one each run"
    stack.twilio.heal()
    for _ in range(30):  # what came into doubt is looked for over 21 minutes
        stack.move_clock(timedelta(minutes=1))
        run(queue, sender)
    assert not business.connection.execute("select from sms_retry_queue where status <> 'completed'").fetchall()
