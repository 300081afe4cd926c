"""Arguments that are null, odd or hostile: refused or kept as the values they are, and nothing else changes."""

from datetime import timedelta
from typing import Any

import httpx
import pytest

from tests.integration.scene import FUNCTIONS, OURS, TABLES, Scene

INJECTION = "'); drop table public.sms_retry_queue; --"
ODD = f"{INJECTION} %s %(x)s {{}} \\ \" é😀 '"
REFUSALS = {
    "SR404", "SR409", "SR422", "PT503", "22001", "22003", "22007", "22008", "22015", "22023", "22P02", "22P05", "23502",
    "23514",
}  # fmt: skip
"""Ours, and PostgreSQL's for a value that is none of its type, or outside a constraint."""


def called(scene: Scene, function: str, **changes: Any) -> httpx.Response:
    """A call that would succeed, but for these arguments."""
    return scene.call("service_role", function, scene.arguments(function) | changes)


def refused(response: httpx.Response) -> object:
    """An error's code, or what a worker is answered that lost its claim; None: it did something."""
    answer = response.json()
    if response.status_code != 200:
        return answer["code"]
    match answer:
        case [{"answer": "claim_lost" as lost}] | (
            "not_in_doubt" | "claim_lost" as lost
        ):
            return lost
        case [{"applied": False}] | False:
            return "not applied"
        case _:
            return None


_DAILY = ("queue_sms_retry", "schedule_sms", "record_sms_consent")
"""What the application calls. The others have their turn before a release."""


@pytest.mark.parametrize(
    "function",
    [
        pytest.param(one, marks=[] if one in _DAILY else pytest.mark.long)
        for one in FUNCTIONS
    ],
)
def test_whatever_an_argument_holds_a_call_answers_or_refuses_it(
    scene: Scene, function: str
) -> None:
    """By a code for such a value, and never as if it had broken something. Parameters are values, and no statement."""
    odd: list[Any] = [
        None,
        ODD,
        "",
        "null",
        -1,
        2**63,
        1.5,
        True,
        [],
        {},
        "2027-02-30",
        "infinity",
        "a\x00b",
    ]
    for name in scene.arguments(function):
        for value in odd:
            response = called(scene, function, **{name: value})
            if response.status_code != 200:
                assert response.json()["code"] in REFUSALS, (name, value, response.text)
    for table in (*TABLES, *(f"smsretry.{table}" for table in OURS)):
        scene.business.connection.execute(f"select 1 from {table} limit 1".encode())


NEEDED = {
    "queue_sms_retry": "send_log_id attempt_count max_attempts",
    "schedule_sms": "business_id customer_id body scheduled_for",
    "begin_sms_attempt": "retry_id claim_no send_before attempt_id cap_window",
    "finish_sms_attempt": "retry_id claim_no attempt_id outcome next_status due_in",
    "defer_sms_retry": "retry_id claim_no",
    "after_sms_restore": "since",
    "resolve_sms_doubt": "retry_id",
    "end_sms_retry": "retry_id claim_no final_status why",
    "recover_stuck_sms_retries": "stale_minutes",
    "add_sms_sender": "business_id account sent_by because",
    "change_sms_sender": "named who because",
    "remove_sms_sender": "business_id",
    "record_sms_consent": "phone consent source",
    "import_sms_opt_outs": "opt_outs business_id dry_run because",
}
"""Without these a call does nothing."""
WORDS = {
    "queue_sms_retry": "reason message_class",
    "finish_sms_attempt": "outcome next_status reason twilio_sid",
    "defer_sms_retry": "reason",
    "end_sms_retry": "final_status",
    "record_sms_consent": "consent phone",
    "import_sms_opt_outs": "opt_outs",
    "resolve_sms_doubt": "twilio_sid",
    "add_sms_sender": "account sent_by message_class",
    "change_sms_sender": "named",
    "remove_sms_sender": "message_class",
}
"""These hold a known word, or an id of the provider's."""


def test_what_is_needed_is_not_null_and_a_word_is_a_known_one(scene: Scene) -> None:
    """Refused, or answered as a lost claim; and nothing changed."""
    before = scene.everything()
    for values, table in (((None,), NEEDED), ((ODD, "", "null"), WORDS)):
        for function, names in table.items():
            for name in names.split():
                for value in values:
                    assert refused(called(scene, function, **{name: value})), (
                        function,
                        name,
                        value,
                    )
    assert called(scene, "claim_sms_retry", retry_id=None).json()["texts"] == []
    for nothing in (0, -1, -(2**31)):
        assert called(scene, "claim_due_sms_retries", limit_count=nothing).json() == []
    for never in (0, -1):  # recovery needs a time that outlasts a send
        assert (
            refused(called(scene, "recover_stuck_sms_retries", stale_minutes=never))
            == "SR422"
        )
    assert (
        called(scene, "recover_stuck_sms_retries", stale_minutes=2**31 - 1).json() == []
    )
    assert scene.everything() == before
    waiting = scene.business.log_of(scene.due)[
        "id"
    ]  # a live row sends it yet: the caller's count does not end it
    called(scene, "queue_sms_retry", attempt_count=3, send_log_id=str(waiting))
    assert scene.business.log_of(scene.due)["status"] != "failed"


def test_a_claim_of_very_many_takes_at_most_five_hundred(scene: Scene) -> None:
    """PostgREST truncates answers at 1000 rows: what it cut off would be claimed and never sent."""
    with scene.business.connection.transaction():
        for _ in range(520):
            scene.business.due_text()
    assert (
        len(called(scene, "claim_due_sms_retries", limit_count=2**31 - 1).json()) == 500
    )
    record = scene.business.connection.execute(
        """select count(*) as n from sms_retry_queue
           where status = 'processing' and in_doubt_since is null and claimed_at > %s""",
        [scene.stack.now() - timedelta(minutes=5)],
    ).fetchone()
    assert record == {"n": 500}
