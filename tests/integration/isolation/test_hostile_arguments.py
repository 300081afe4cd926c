"""Arguments that are null, odd or hostile: refused or kept as the values they are, and nothing else changes."""

from datetime import timedelta

import httpx
import pytest
from psycopg import sql

from tests.integration.scene import Scene

INJECTION = "'); drop table public.sms_retry_queue; --"


def test_numbers_that_cannot_be_meant_do_nothing(scene: Scene) -> None:
    """A claim of none takes none, and one of no number is refused. Recovery needs a time that outlasts a send."""
    before = scene.everything()
    calls = [
        ("claim_due_sms_retries", "limit_count", (0, -1, -2147483648), 200, None),
        (
            "claim_due_sms_retries",
            "limit_count",
            (2147483648, "many", INJECTION, 1.5, [1], True),
            400,
            ("22P02", "22003"),
        ),
        ("recover_stuck_sms_retries", "stale_minutes", (None, 0, -1), 400, ("SR422",)),
        ("recover_stuck_sms_retries", "stale_minutes", (2147483647,), 200, None),
    ]
    for function, name, values, status, codes in calls:
        for value in values:
            response = scene.call("service_role", function, {name: value})
            assert response.status_code == status, (function, value)
            assert response.json()["code"] in codes if codes else response.json() == []
    assert scene.everything() == before
    fifty = scene.call("service_role", "claim_due_sms_retries", {"limit_count": None})
    assert [row["id"] for row in fifty.json()] == [str(scene.due)], "null is the default"


def test_a_claim_of_very_many_takes_at_most_five_hundred(scene: Scene) -> None:
    """PostgREST truncates answers at 1000 rows: what it cut off would be claimed and never sent."""
    with scene.business.connection.transaction():
        for _ in range(520):
            scene.business.due_text()
    response = scene.call("service_role", "claim_due_sms_retries", {"limit_count": 2147483647})
    assert len(response.json()) == 500
    found = scene.business.connection.execute(
        """select count(*) as n from sms_retry_queue
           where status = 'processing' and in_doubt_since is null and claimed_at > %s""",
        [scene.stack.now() - timedelta(minutes=5)],
    ).fetchone()
    assert found == {"n": 500}


NOTHING_CLAIMED: dict[str, object] = {
    "texts": [], "environment": None, "stops": [], "stopped_states": [], "longest_body": 1600, "next_in": None,
}  # fmt: skip
NULLS = {
    ("queue_sms_retry", "send_log_id"): "SR404",
    ("queue_sms_retry", "attempt_count"): "SR422",
    ("queue_sms_retry", "max_attempts"): "SR422",
    ("schedule_sms", "business_id"): "SR404",
    ("schedule_sms", "customer_id"): "SR404",
    ("schedule_sms", "body"): "SR422",
    ("schedule_sms", "scheduled_for"): "SR422",
    ("claim_sms_retry", "retry_id"): NOTHING_CLAIMED,
    ("begin_sms_attempt", "retry_id"): "lost",
    ("begin_sms_attempt", "claim_no"): "SR422",
    ("begin_sms_attempt", "send_before"): "SR422",
    ("begin_sms_attempt", "attempt_id"): "SR422",
    ("begin_sms_attempt", "cap_since"): "SR422",
    ("finish_sms_attempt", "retry_id"): "not applied",
    ("finish_sms_attempt", "claim_no"): "not applied",
    ("finish_sms_attempt", "attempt_id"): "not applied",
    ("finish_sms_attempt", "outcome"): "SR422",
    ("finish_sms_attempt", "next_status"): "SR422",
    ("finish_sms_attempt", "retry_in"): "SR422",
    ("defer_sms_retry", "retry_id"): False,
    ("defer_sms_retry", "claim_no"): False,
    ("doubt_sms_retries", "since"): "SR422",
    ("resolve_sms_doubt", "retry_id"): "not_in_doubt",
    ("end_sms_retry", "retry_id"): False,
    ("end_sms_retry", "claim_no"): False,
    ("end_sms_retry", "final_status"): "SR422",
    ("end_sms_retry", "error"): "SR422",
    ("set_sms_state_stop", "state"): "SR422",
    ("add_sms_sender", "business_id"): "SR422",
    ("add_sms_sender", "account"): "SR422",
    ("add_sms_sender", "sent_by"): "SR422",
    ("add_sms_sender", "because"): "SR422",
    ("change_sms_sender", "named"): "SR422",
    ("change_sms_sender", "unlimited"): "SR422",
    ("change_sms_sender", "segments_per_second"): "SR422",
    ("pause_sms_sender", "named"): "SR422",
    ("pause_sms_sender", "because"): "SR422",
    ("resume_sms_sender", "named"): "SR422",
    ("resume_sms_sender", "who"): "SR422",
    ("remove_sms_sender", "business_id"): "SR422",
    ("record_sms_consent", "phone"): "SR422",
    ("record_sms_consent", "consent"): "SR422",
    ("record_sms_consent", "source"): "SR422",
    ("import_sms_opt_outs", "opt_outs"): "SR422",
    ("import_sms_opt_outs", "business_id"): "SR422",
    ("import_sms_opt_outs", "dry_run"): "SR422",
    ("import_sms_opt_outs", "because"): "SR422",
}
"""What a null comes to: an error's code, or the answer of a worker that lost its claim."""


def _in_short(response: httpx.Response) -> object:
    """An error's code, or the answer in a word."""
    answer = response.json()
    if response.status_code == 400:
        return answer["code"]
    match answer:
        case [{"answer": answer}]:
            return answer
        case [{"applied": applied}]:
            return "applied" if applied else "not applied"
        case _:
            return answer


def test_a_null_where_a_value_is_needed_changes_nothing(scene: Scene) -> None:
    """Refused, or answered as a lost claim."""
    before = scene.everything()
    for (function, name), answer in NULLS.items():
        response = scene.call("service_role", function, scene.arguments(function) | {name: None})
        assert response.status_code in (200, 400)
        assert (function, name, _in_short(response)) == (function, name, answer)
    assert scene.everything() == before


WORDS = [
    ("queue_sms_retry", "reason"),
    ("finish_sms_attempt", "outcome"),
    ("finish_sms_attempt", "next_status"),
    ("finish_sms_attempt", "reason"),
    ("finish_sms_attempt", "twilio_sid"),
    ("defer_sms_retry", "reason"),
    ("end_sms_retry", "final_status"),
    ("queue_sms_retry", "message_class"),
    ("record_sms_consent", "consent"),
    ("record_sms_consent", "phone"),
    ("import_sms_opt_outs", "opt_outs"),
    ("import_sms_opt_outs", "file_hash"),
    ("resolve_sms_doubt", "twilio_sid"),
    ("add_sms_sender", "account"),
    ("add_sms_sender", "sent_by"),
    ("add_sms_sender", "message_class"),
    ("change_sms_sender", "named"),
    ("pause_sms_sender", "named"),
    ("resume_sms_sender", "named"),
    ("remove_sms_sender", "message_class"),
]
TEXTS = [
    ("queue_sms_retry", "error", "last_error"),
    ("finish_sms_attempt", "error", "last_error"),
    ("defer_sms_retry", "why", "why"),
    ("end_sms_retry", "error", "last_error"),
    ("begin_sms_attempt", "quiet_hours_rule", "quiet_hours_rule"),
    ("begin_sms_attempt", "sent_by", "sent_by"),
]
ODD = f"{INJECTION} %s %(x)s {{}} \\ \" é😀 '"


def test_a_word_that_is_none_of_the_known_ones_is_refused(scene: Scene) -> None:
    """400, and nothing changed."""
    before = scene.everything()
    for function, name in WORDS:
        for value in (ODD, "", "null"):
            response = scene.call("service_role", function, scene.arguments(function) | {name: value})
            assert (function, name, response.status_code) == (function, name, 400), value
            assert response.json()["code"] in ("SR422", "23514"), value
    assert scene.everything() == before


@pytest.mark.parametrize("function", sorted({function for function, _, _ in TEXTS}))
def test_a_text_is_kept_as_it_is_whatever_is_in_it(scene: Scene, function: str) -> None:
    """Parameters are values; none is ever part of a statement."""
    columns = {name: column for called, name, column in TEXTS if called == function}
    odd = {name: ODD + name for name in columns}
    response = scene.call("service_role", function, scene.arguments(function) | odd)
    assert response.status_code == 200
    table = "sms_send_attempts" if function == "begin_sms_attempt" else "sms_retry_queue"
    for name, column in columns.items():
        query = sql.SQL("select 1 from {} where {} = %s").format(sql.Identifier(table), sql.Identifier(column))
        assert len(scene.business.connection.execute(query, [odd[name]]).fetchall()) == 1


def test_a_value_of_the_wrong_kind_is_refused(scene: Scene) -> None:
    """With PostgreSQL's code for it, and nothing changed."""
    before = scene.everything()
    for function, name, value, code in (
        ("claim_sms_retry", "retry_id", INJECTION, "22P02"),
        ("queue_sms_retry", "send_log_id", "", "22P02"),
        ("queue_sms_retry", "retry_in", INJECTION, "22007"),
        ("queue_sms_retry", "scheduled_for", INJECTION, "22007"),
        ("begin_sms_attempt", "claim_no", 2**63, "22003"),
        ("defer_sms_retry", "until", "2027-02-30", "22008"),
        ("end_sms_retry", "error", "a\x00b", "22P05"),
    ):
        response = scene.call("service_role", function, scene.arguments(function) | {name: value})
        assert (function, name, response.json()["code"]) == (function, name, code)
    assert scene.everything() == before


def test_a_text_that_still_waits_is_not_called_failed(scene: Scene) -> None:
    """A live row sends it yet: the caller's own count of attempts does not make it failed."""
    waiting = scene.business.log_of(scene.due)
    arguments = scene.arguments("queue_sms_retry") | {"attempt_count": 3, "send_log_id": str(waiting["id"])}
    scene.call("service_role", "queue_sms_retry", arguments)
    live = scene.business.row(scene.due)["status"] in ("pending", "processing")
    assert not (live and scene.business.log_of(scene.due)["status"] == "failed")
