"""What `smsretry doctor` says of variables, connections and schedules: it blames what is to blame, and no more."""

import json
import os
import subprocess
import sys
from base64 import urlsafe_b64encode
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from smsretry.adapters.answering import cause_of
from smsretry.adapters.prefect.definition import (
    Registered,
    RegisteredSchedule,
    declared,
    differences,
)
from smsretry.cli.running import now as clock
from smsretry.doctor import examine
from smsretry.doctor.clocks import ClockOffsets
from smsretry.doctor.database import reader_finding
from smsretry.doctor.prefect import _schedule_problem, prefect_findings
from smsretry.doctor.variables import (
    callback_findings,
    expiry_findings,
    variable_findings,
)
from tests.support.builders import forget_settings

AT = datetime(2027, 1, 12, tzinfo=UTC)


def key_that_ends(days: int) -> str:
    """A key that is a token, and ends in so many days."""
    claims = {"exp": int((AT + timedelta(days=days)).timestamp())}
    return f"e30.{urlsafe_b64encode(json.dumps(claims).encode()).decode()}.x"


_TOKEN = {"TWILIO_AUTH_TOKEN": "a" * 32}
_KEY = "SUPABASE_SERVICE_ROLE_KEY"
_CALLBACK = "TWILIO_STATUS_CALLBACK_URL"
FAULTS: list[tuple[dict[str, str], list[str]]] = [
    # variables, and what is said of them besides that they are set
    ({"SUPABASE_ULR": "x"}, ["warn SUPABASE_ULR did you mean SUPABASE_URL?"]),
    ({"TWILIO_ACCOUNTSID": "x"}, ["warn TWILIO_ACCOUNTSID did you mean TWILIO_ACCOUNT_SID?"]),
    ({"SUPABASE_KEY": "x"}, [f"warn SUPABASE_KEY did you mean {_KEY}?"]),
    ({"SUPABASE_SERVICE_KEY": "x"}, [f"warn SUPABASE_SERVICE_KEY did you mean {_KEY}?"]),
    ({"SUPABASE_KEY": "x", _KEY: "sb_secret_1"}, []),
    ({"SUPABASE_(KEY[": "x"}, []),
    ({"SMSRETRY_MOOD": "x"}, ["warn SMSRETRY_MOOD so nothing reads it"]),
    ({"SUPABASE_URL": "'https://a.supabase.co'"}, ["bad SUPABASE_URL is in quotation marks"]),
    ({"SUPABASE_URL": "https://a.supabase.co", "supabase_url": "x"},
     ["bad supabase_url is set beside SUPABASE_URL"]),
    ({**_TOKEN, "TWILIO_API_KEY_SID": "SK" + "1" * 32},
     ["warn TWILIO_API_KEY_SID is not used without TWILIO_API_KEY_SECRET"]),
    (_TOKEN, []),
    ({_KEY: key_that_ends(-1)}, [f"bad {_KEY} expired 1 d ago"]),
    ({_KEY: key_that_ends(1)}, [f"warn {_KEY} expires in 1 d"]),
    ({_KEY: key_that_ends(30)}, []),
    ({_CALLBACK: "https://hook.invalid/sms"}, [f"warn {_CALLBACK} hook.invalid cannot be resolved"]),
    *(({_CALLBACK: f"https://{host}/sms"}, [f"bad {_CALLBACK} Twilio cannot reach {host}"])
      for host in ("127.0.0.1", "localhost", "10.1.2.3", "app.internal")),
    ({_CALLBACK: "https://localhost/sms", "TWILIO_BASE_URL": "http://127.0.0.1:9"},
     ["warn TWILIO_BASE_URL texts go to this address"]),
]  # fmt: skip


def test_each_variable_that_does_not_do_what_it_seems_to_is_named_with_what_to_do() -> (
    None
):
    """The application's own are left alone; what must be set is recognized by a part of its name."""
    for environment, told in FAULTS:
        missing = {} if _KEY in environment else {_KEY: "must be set"}
        findings = [
            finding
            for finding in (
                *variable_findings(missing, environment),
                *expiry_findings(environment, AT),
                *callback_findings(environment),
            )
            if finding.advice not in (None, "must be set")
        ]
        assert len(findings) == len(told), environment
        for finding, words in zip(findings, told, strict=True):
            word, subject, advice = words.split(" ", 2)
            assert (finding.word, finding.subject) == (word, subject)
            assert advice in str(finding.advice)


def test_a_variable_of_prefect_s_is_blamed_for_itself_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The address is right, and the headers are no JSON."""
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    monkeypatch.setenv("PREFECT_CLIENT_CUSTOM_HEADERS", "X-Access: yes")
    bad = [
        finding for finding in prefect_findings(ClockOffsets(clock)) if not finding.ok
    ]
    assert bad[-1].subject == "PREFECT_CLIENT_CUSTOM_HEADERS"
    assert "PREFECT_API_URL" not in [finding.subject for finding in bad]


def test_a_reader_s_key_that_can_write_is_told() -> None:
    """A secret key passes row level security by. Its advice counts, whatever else is wrong."""
    [finding] = reader_finding({"SUPABASE_READER_KEY": "sb_secret_abc"})
    assert "can write" in str(finding)


def test_a_malformed_reader_s_key_is_told_while_other_settings_are_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The examination goes on, and does not ask the database with settings that cannot be read."""
    forget_settings(monkeypatch)
    monkeypatch.setenv("SUPABASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("SUPABASE_SERVICE_ROLE_KEY", "key")
    monkeypatch.setenv("SUPABASE_READER_KEY", "two words")
    findings = {
        finding.subject: finding
        for finding in examine(now=clock, environment=os.environ)
    }
    assert "SUPABASE_READER_KEY: has a line break" in str(findings["reader's key"])
    assert "was not asked" in str(findings["Supabase"])


def test_a_connection_names_the_proxy_or_the_file_that_it_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And no other."""
    error = httpx.ConnectError("refused")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "db.example.com")
    assert "HTTPS_PROXY" in cause_of(error, "https://project.supabase.co")
    assert cause_of(error, "https://db.example.com") == "ConnectError"
    assert cause_of(error, "http://127.0.0.1:9") == "ConnectError"
    monkeypatch.setenv("SSL_CERT_DIR", os.pathsep.join(["/nowhere", "/"]))
    assert cause_of(FileNotFoundError(2, "No such file")) == "FileNotFoundError"
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/ca.pem")
    assert cause_of(FileNotFoundError(2, "No such file")).startswith("SSL_CERT_FILE")
    assert cause_of(ValueError()) == "ValueError"


def registered(
    name: str, *schedules: RegisteredSchedule, **fields: object
) -> list[str]:
    """What is wrong with a deployment whose server has these schedules."""
    [ours] = [deployment for deployment in declared() if deployment.name == name]
    there = Registered.model_validate(
        ours.model_dump(exclude={"schedules"})
        | {"id": "1", "created": datetime.now(UTC), "paused": False}
        | {"schedules": [schedule.model_dump() for schedule in schedules]}
        | fields
    )
    return [*differences(ours, there), *filter(None, [_schedule_problem(ours, there)])]


def test_a_schedule_beside_ours_or_in_another_zone_is_wrong_only_where_texts_wait() -> (
    None
):
    """One that is off does nothing, and each minute is the same everywhere. A daily one is not."""
    [minutely] = next(
        deployment
        for deployment in declared()
        if deployment.name == "process-sms-retries"
    ).schedules
    [nightly] = next(
        deployment for deployment in declared() if deployment.name == "sms-prune"
    ).schedules

    def there(schedule: object, *, active: bool = True) -> RegisteredSchedule:
        values = dict(schedule)  # type: ignore[call-overload]
        slug = values.pop("slug")
        return RegisteredSchedule(active=active, slug=slug, schedule=values)

    abroad = {"timezone": "Asia/Tokyo"}
    extra = RegisteredSchedule(active=False, schedule={"cron": "0 0 1 1 *"})
    run = "process-sms-retries"
    assert registered(run, there(minutely), extra) == []
    limit = {"global_concurrency_limit": {"limit": 1}}
    cancels = limit | {"concurrency_options": {"collision_strategy": "CANCEL_NEW"}}
    [problem] = registered(run, there(minutely), **cancels)
    assert "CANCEL_NEW" in problem
    assert registered(run, there(minutely), **limit) == []
    assert registered(run, there(minutely.model_copy(update=abroad))) == []
    assert "Tokyo" in str(
        registered("sms-prune", there(nightly.model_copy(update=abroad)))
    )
    assert "switched off" in str(registered(run, there(minutely, active=False)))
    assert "schedule is" in str(
        registered(run, there(minutely), extra.model_copy(update={"active": True}))
    )


def test_an_ascii_terminal_gets_the_whole_answer() -> None:
    """With question marks for what it cannot show."""
    result = subprocess.run(
        [sys.executable, "-m", "smsretry", "quiet-hours", "+12125550123"],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "08:00?21:00" in result.stdout
    assert "Traceback" not in result.stderr
