"""Arguments that are null, odd or hostile: refused or kept as the values they are, and nothing else changes."""

from datetime import timedelta

import httpx
import pytest
from psycopg import sql

from tests.integration.scene import Scene

INJECTION = "'); drop table public.sms_retry_queue; --"


def test_a_claim_of_none_or_fewer_takes_none(scene: Scene) -> None:
    """Nothing, and no error."""
    before = scene.everything()
    for limit in (0, -1, -2147483648):
        response = scene.call("service_role", "claim_due_sms_retries", {"limit_count": limit})
        assert (response.status_code, response.json()) == (200, [])
    assert scene.everything() == before


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


def test_a_limit_that_is_no_integer_is_refused(scene: Scene) -> None:
    """400, and nothing is claimed."""
    before = scene.everything()
    for limit in (2147483648, "many", INJECTION, 1.5, [1], {"a": 1}, True):
        response = scene.call("service_role", "claim_due_sms_retries", {"limit_count": limit})
        assert response.status_code == 400
        assert response.json()["code"] in ("22P02", "22003")
    assert scene.everything() == before


def test_a_claim_without_a_number_takes_fifty(scene: Scene) -> None:
    """Null is the default."""
    response = scene.call("service_role", "claim_due_sms_retries", {"limit_count": None})
    assert [row["id"] for row in response.json()] == [str(scene.due)]


def test_recovery_needs_a_time_that_outlasts_a_send(scene: Scene) -> None:
    """A zero would take every live claim from its worker."""
    before = scene.everything()
    for minutes in (None, 0, -1):
        response = scene.call("service_role", "recover_stuck_sms_retries", {"stale_minutes": minutes})
        assert (response.status_code, response.json()["code"]) == (400, "SR422")
    assert scene.everything() == before


def test_recovery_after_a_very_long_time_recovers_nothing(scene: Scene) -> None:
    """4083 years."""
    response = scene.call("service_role", "recover_stuck_sms_retries", {"stale_minutes": 2147483647})
    assert (response.status_code, response.json()) == (200, [])


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
    ("hold_sms_retry", "retry_id"): False,
    ("hold_sms_retry", "claim_no"): False,
    ("hold_sms_retry", "why"): "SR422",
    ("hold_sms_retry", "look_in"): "SR422",
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


@pytest.mark.parametrize("name", ["claim_no", "send_before"])
def test_a_send_does_not_begin_without_a_fence_or_a_window(scene: Scene, name: str) -> None:
    """What is missing is never a license to send."""
    arguments = scene.arguments("begin_sms_attempt") | {name: None}
    response = scene.call("service_role", "begin_sms_attempt", arguments)
    assert _in_short(response) != "go"


def test_a_send_that_is_under_way_does_not_begin_again_for_a_caller_without_an_attempt(scene: Scene) -> None:
    """Two texts would go out."""
    arguments = scene.arguments("begin_sms_attempt") | {
        "retry_id": str(scene.begun), "claim_no": scene.begun_no, "attempt_id": None
    }  # fmt: skip
    response = scene.call("service_role", "begin_sms_attempt", arguments)
    assert _in_short(response) != "go"


def test_a_row_is_not_deferred_without_a_time(scene: Scene) -> None:
    """A deferral for quiet hours that ends at once is none."""
    before = scene.everything()
    arguments = scene.arguments("defer_sms_retry") | {"until": None}
    scene.call("service_role", "defer_sms_retry", arguments)
    assert scene.everything() == before


def test_no_row_fails_without_a_reason(scene: Scene) -> None:
    """Every row that is given up says why."""
    arguments = scene.arguments("finish_sms_attempt") | {"next_status": "failed", "error": None}
    scene.call("service_role", "finish_sms_attempt", arguments)
    row = scene.business.row(scene.begun)
    assert row["status"] != "failed" or row["last_error"] is not None


def test_a_deferral_to_a_time_that_has_come_may_be_repeated(scene: Scene) -> None:
    """Its answer was lost; the second call must not say that the claim was."""
    arguments = scene.arguments("defer_sms_retry") | {"until": scene.at(seconds=-1)}
    assert scene.call("service_role", "defer_sms_retry", arguments).json() is True
    assert scene.call("service_role", "defer_sms_retry", arguments).json() is True


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
    ("hold_sms_retry", "why", "why"),
    ("begin_sms_attempt", "quiet_hours_rule", "quiet_hours_rule"),
    ("begin_sms_attempt", "body", "sent_body"),
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


@pytest.mark.parametrize(("function", "name", "column"), TEXTS)
def test_a_text_is_kept_as_it_is_whatever_is_in_it(scene: Scene, function: str, name: str, column: str) -> None:
    """Parameters are values; none is ever part of a statement."""
    value = ODD
    response = scene.call("service_role", function, scene.arguments(function) | {name: value})
    assert response.status_code == 200
    table = "sms_send_attempts" if function == "begin_sms_attempt" else "sms_retry_queue"
    query = sql.SQL("select 1 from {} where {} = %s").format(sql.Identifier(table), sql.Identifier(column))
    assert len(scene.business.connection.execute(query, [value]).fetchall()) == 1


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


def test_a_text_past_its_attempts_is_failed_and_gets_no_row(scene: Scene) -> None:
    """With the error of its last attempt."""
    arguments = scene.arguments("queue_sms_retry") | {"attempt_count": 3}
    assert scene.call("service_role", "queue_sms_retry", arguments).json()[0]["result"] == "attempts_exhausted"
    log = scene.business.connection.execute("select * from send_logs where id = %s", [scene.text]).fetchone()
    assert log is not None
    assert (log["status"], log["error_message"]) == ("failed", "Twilio was down")


def test_a_text_that_still_waits_is_not_called_failed(scene: Scene) -> None:
    """A live row sends it yet: the caller's own count of attempts does not make it failed."""
    waiting = scene.business.log_of(scene.due)
    arguments = scene.arguments("queue_sms_retry") | {"attempt_count": 3, "send_log_id": str(waiting["id"])}
    scene.call("service_role", "queue_sms_retry", arguments)
    live = scene.business.row(scene.due)["status"] in ("pending", "processing")
    assert not (live and scene.business.log_of(scene.due)["status"] == "failed")
