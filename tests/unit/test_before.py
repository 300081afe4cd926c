"""May a text go out now, and if not, how does it wait?"""

from datetime import datetime, timedelta

from smsretry.retry.backoff import HELD_LOOK
from smsretry.retry.before import LIFE, before_send, wait_for_window, with_expiry
from smsretry.retry.decision import BeforeSend, Cancel, Cap, Defer, Fail, Hold, Send
from smsretry.vocabulary import WhyCode
from tests.support.builders import (
    AT_ONCE,
    CLOSING,
    NOON,
    OPENING,
    PHONE,
    assigned,
    claim_with,
)
from tests.support.records import Record

NIGHT = CLOSING
LAST_HOLD = NIGHT - timedelta(seconds=60)
"""From here on the provider may not hold a text: with a slow request it could leave after the closing."""
LAST_CALL = LAST_HOLD - timedelta(seconds=10)
"""A text sent later could have no ten seconds there."""
SECOND, MINUTE, HOUR, DAY = (
    timedelta(seconds=1),
    timedelta(minutes=1),
    timedelta(hours=1),
    timedelta(days=1),
)
NEW_YORK_RULE = "08:00–21:00 in America/New_York, area code 212"
BY_DAY = Send(LAST_CALL, LAST_HOLD, NEW_YORK_RULE)
FLORIDA = "+13055550123"


def waits_until(until: datetime, *, why: str) -> Defer:
    """For a permitted hour."""
    return Defer(why, "quiet_hours", due_at=until, for_window=True)


UNTIL_MORNING = waits_until(OPENING, why=f"Quiet hours: {NEW_YORK_RULE}")
EXPIRED = Cancel("Expired before it could be sent", "expired")
EXPIRES = Cancel(
    f"Expires before it may go out. Quiet hours: {NEW_YORK_RULE}", "expired"
)

HOPELESS: list[tuple[Record, WhyCode]] = [
    # what is wrong with the row, and the reason it fails with; the first is told when there are several
    ({"send_log_found": False}, "no_send_log"),
    ({"channel": "email"}, "not_sms"),
    ({"customer_found": False}, "no_customer"),
    ({"phone": None}, "no_phone"),
    ({"phone": "", "business_hours": "nine to five"}, "no_phone"),
    ({"phone": "n/a 55"}, "number_invalid"),
    ({"phone": "+18005550123"}, "number_invalid"),
    ({"phone": "+447012345678"}, "number_invalid"),
    ({"body": None}, "no_body"),
    ({"body": " \n"}, "no_body"),
    ({"body": "x" * 1601}, "body_too_long"),
    ({"attempt_count": 3}, "attempts_used_up"),
]


def test_a_text_that_can_never_go_out_fails_with_the_reason() -> None:
    """At once, and not only when its quiet hours are over. The first of several reasons is told."""
    for number, (wrong, why_code) in enumerate(HOPELESS):
        later: Record = {"expires_at": NIGHT}
        for later_changes, _ in reversed(HOPELESS[number:]):
            later |= later_changes
        for changes in (wrong, later | wrong):
            for at in (NOON, NIGHT):
                decision = before_send(claim_with(**changes), at=at)
                assert isinstance(decision, Fail)
                assert decision.why_code == why_code
                assert not wrong.get("phone") or wrong["phone"] not in decision.why


EXPIRY: list[tuple[datetime, datetime, BeforeSend]] = [
    # when the decision is made, when nobody wants the text any more, what is decided
    # By day: an expired text, and one that has not ten seconds left, is not sent.
    (NOON, NOON, EXPIRED),
    (NOON, NOON + 10 * SECOND, EXPIRED),
    (NOON, NOON + 11 * SECOND, Send(NOON + SECOND, NOON + 11 * SECOND, NEW_YORK_RULE)),
    # The provider may keep it until it expires or the window closes, whichever comes first.
    (
        NOON,
        LAST_HOLD - SECOND,
        Send(LAST_CALL - SECOND, LAST_HOLD - SECOND, NEW_YORK_RULE),
    ),
    (NOON, LAST_HOLD + SECOND, BY_DAY),
    # By night: what expires before the opening, or at it, will never be sent, so it ends at once.
    (NIGHT, NIGHT + SECOND, EXPIRED),
    (NIGHT, OPENING + 10 * SECOND, EXPIRES),
    (NIGHT, OPENING + 11 * SECOND, UNTIL_MORNING),
    # In the last moments of the window it is as good as night.
    (LAST_CALL, NIGHT + SECOND, EXPIRES),
    (LAST_CALL - timedelta(microseconds=1), NIGHT + 2 * DAY, BY_DAY),
    (LAST_CALL, NIGHT + 2 * DAY, UNTIL_MORNING),
]


def test_a_text_is_sent_inside_its_window_and_its_life() -> None:
    """Nobody wants yesterday's reminder, and a text that cannot make the next opening need not wait for it."""
    for at, expires_at, decision in EXPIRY:
        assert (
            before_send(claim_with(expires_at=expires_at), at=at, profile=AT_ONCE)
            == decision
        )


# Caps and days


def test_a_marketing_text_is_sent_under_the_lowest_daily_cap() -> None:
    """A state's or the business's own, which `begin` counts. A receipt may be one more; New York has no cap."""
    caps: list[tuple[Record, Cap | None]] = [
        (
            {"phone": FLORIDA},
            Cap(
                3,
                "Daily cap: 3 texts in 24 hours to one person (us-fl-501.616)",
            ),
        ),
        (
            {"phone": FLORIDA, "business_cap": 1},
            Cap(
                1,
                "Daily cap: 1 text in 24 hours to one person (the business's own)",
            ),
        ),
        ({"business_cap": 1, "message_class": "transactional"}, None),
        ({"phone": PHONE}, None),
    ]
    for changes, cap in caps:
        decision = before_send(claim_with(**changes), at=NOON)
        assert isinstance(decision, Send)
        assert decision.cap == cap


def test_a_text_whose_sender_has_used_its_day_waits_until_that_turns_over() -> None:
    """Or for the opening after it, as a capped text does. In a state that is stopped, that is what it waits for."""
    stopped = wait_for_window(
        claim_with(phone=FLORIDA, stopped_states=["FL"]), NOON, "Daily cap", "daily_cap"
    )
    assert isinstance(stopped, Hold)
    assert stopped.why.startswith("Texts to FL are stopped")
    for turns_at, until in ((NOON + HOUR, NOON + HOUR), (NIGHT + HOUR, OPENING)):
        decision = before_send(
            claim_with(sender=assigned(1, spent_until=turns_at)),
            at=NOON,
            profile=AT_ONCE,
        )
        assert isinstance(decision, Defer)
        assert (decision.due_at, decision.why_code) == (until, "day_spent")


# What a person can mend

MENDABLE: list[tuple[Record, str, WhyCode]] = [
    # what a person can mend, and what the text says that it waits for: what to do, and in a word
    # A satellite phone may be anywhere.
    (
        {"phone": "+881612345678"},
        "correct customers.phone",
        "no_time_zone",
    ),
    # A declared emergency.
    (
        {"stopped_states": ["LA", "NY"]},
        "NY are stopped: lift the stop",
        "state_stopped",
    ),
    # A guess would be a license.
    (
        {"business_hours": "nine to five"},
        "sms_hours cannot be read",
        "hours_unreadable",
    ),
    # A business that is open on no day the state permits.
    ({"business_hours": "03:00-04:00"}, "widen businesses.sms_hours", "no_opening"),
    (
        {"timezone": "Asia/Shanghai", "business_hours": "09:00-17:00"},
        "America/New_York, area code 212, and Asia/Shanghai, the customer's zone",
        "no_opening",
    ),
    ({"timezone": "Mars/Olympus"}, "customers.timezone", "hours_unreadable"),
    ({"business_timezone": "EDT/EST"}, "businesses.timezone", "hours_unreadable"),
    (
        {"sender": assigned(1, why_paused="complaints")},
        "complaints",
        "sender_paused",
    ),
]


def test_what_a_person_can_mend_makes_a_text_wait_and_says_what_to_do() -> None:
    """It is looked at again each quarter of an hour and goes on once it is mended. Only its expiry ends it."""
    for trouble, advice, why_code in MENDABLE:
        for at, expires_at in (
            (NOON, None),
            (NIGHT, None),
            (NOON, NIGHT + 2 * DAY),
            (NIGHT, NIGHT + 2 * DAY),
        ):
            decision = before_send(claim_with(**trouble, expires_at=expires_at), at=at)
            assert isinstance(decision, Hold)
            assert advice in decision.why
            assert (decision.why_code, decision.due_in, decision.ambiguous) == (
                why_code,
                HELD_LOOK,
                (),
            )
        mended = dict.fromkeys(trouble, None) | {
            "phone": PHONE,
            "timezone": "America/New_York",
            "stopped_states": [],
        }
        assert isinstance(
            before_send(claim_with(**mended, held=True, why=advice), at=NOON), Send
        )
        expired = claim_with(**trouble, held=True, why=advice, expires_at=NOON)
        assert before_send(expired, at=NOON) == Cancel(
            f"{EXPIRED.why}. {advice}", "expired"
        )


# The life of a text


LIVES: list[tuple[datetime | None, datetime, datetime | None]] = [
    # since when it is due, when that is asked, from when its life counts
    (NOON - MINUTE, NOON, NOON - MINUTE),  # by day, a moment ago
    (NOON - DAY, NOON, NOON - DAY),  # by day, and nothing ran for a day
    (NIGHT - DAY, NOON, OPENING - DAY),  # by night, and nothing ran in the morning
    (CLOSING - 5 * SECOND, NOON + DAY, OPENING),  # in the last moments of the day
    (NIGHT, NIGHT + MINUTE, None),  # by night, and it is night
    (NOON + MINUTE, NOON, None),  # not yet
    (None, NOON, None),  # the database does not say since when
]


def test_a_life_counts_from_the_first_moment_it_might_have_gone_out_also_if_nothing_ran() -> (
    None
):
    """Waiting for an opening does not count."""
    for due, at, counted in LIVES:
        claim = with_expiry(claim_with(expires_at=None, due_since=due), at=at)
        assert claim.expires_at == (counted + LIFE if counted else None)
    assert timedelta(hours=48) == LIFE


def test_a_life_counts_from_its_time_where_something_must_be_mended_and_has_one_end() -> (
    None
):
    """No opening kept it. What was said of it once stays, and since when it was due is told at its end."""
    for wrong in ({"business_hours": "nine to five"}, {"stopped_states": ["NY"]}):
        claim = claim_with(expires_at=None, due_since=NIGHT, **wrong)
        assert with_expiry(claim, at=NIGHT + MINUTE).expires_at == NIGHT + LIFE
    begun = claim_with(due_since=NOON - 9 * DAY)
    assert with_expiry(begun, at=NOON) == begun
    claim = claim_with(expires_at=None, due_since=NOON - 2 * DAY)
    assert before_send(with_expiry(claim, at=NOON), at=NOON) == Cancel(
        f"{EXPIRED.why}: it was due on 2027-01-10 (UTC)", "expired"
    )
