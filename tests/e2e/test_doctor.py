"""What most often stops texts, planted for real, and the line that `smsretry doctor` has for it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pytest
from typer.testing import CliRunner

from smsretry.cli.command import app
from smsretry.local.stack import SENDER, Stack
from tests.e2e.conftest import Prefect
from tests.e2e.registry import SCHEDULED, Registry
from tests.support.builders import forget_settings

_NOWHERE: Final = "http://127.0.0.1:9"


@dataclass(frozen=True)
class Trouble:
    """One thing that is not as it should be."""

    line: str
    """How the doctor's line begins."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Of the environment."""
    database: str = ""
    """Done to the application's database."""
    mended: str = ""
    """What takes that back."""
    prefect: Callable[[Registry], object] | None = None
    """Done to the Prefect server."""


def _alone_in_its_pool(registry: Registry) -> None:
    registry.prefect.post("work_pools/", {"name": "texts", "type": "process"})
    registry.register(SCHEDULED, work_pool_name="texts")


def _failing(registry: Registry) -> None:
    registry.say("delete from flow_run; update deployment set created = created - interval '1 hour'")
    registry.run(SCHEDULED, "FAILED", message="It broke")


TROUBLES: Final = {
    "nobody answers at SUPABASE_URL": Trouble(
        "bad  Supabase: Supabase did not answer count_sms_answer (ConnectError). Check SUPABASE_URL (http://127",
        {"SUPABASE_URL": _NOWHERE},
    ),
    "the key is another project's": Trouble(
        "bad  Supabase: Supabase refused the key (HTTP 401: Invalid API key",
        {"SUPABASE_SERVICE_ROLE_KEY": "wrong"},
    ),
    "a setting is missing": Trouble(
        "bad  TWILIO_ACCOUNT_SID: is not set",
        {"TWILIO_ACCOUNT_SID": ""},
    ),
    "a setting is misspelt": Trouble(
        "warn SMSRETRY_INDOUBT: is no setting of smsretry: did you mean SMSRETRY_IN_DOUBT?",
        {"SMSRETRY_INDOUBT": "hold"},
    ),
    "the auth token is wrong": Trouble(
        "bad  Twilio credentials: refused (Twilio 20003: Permission Denied): check ",
        {"TWILIO_AUTH_TOKEN": "wrong"},
    ),
    "nobody answers for Twilio": Trouble(
        "bad  Twilio credentials: 127.0.0.1:9 does not answer as Twilio does (ConnectionError): check ",
        {"TWILIO_BASE_URL": _NOWHERE},
    ),
    "the sender's number is not the account's": Trouble(
        "bad  Twilio number: the account does not own it",
        {"TWILIO_FROM_NUMBER": "+12125550100"},
    ),
    "a function is gone": Trouble(
        "bad  function public.hold_sms_retry(",
        database="alter function hold_sms_retry rename to gone",
        mended="alter function gone rename to hold_sms_retry",
    ),
    "service_role may not update a table": Trouble(
        "bad  rehearsal of a text: fails: queue_sms_retry (42501): permission denied for table send_logs",
        database="revoke update on send_logs from service_role",
        mended="grant update on send_logs to service_role",
    ),
    "a trigger is switched off": Trouble(
        "bad  trigger smsretry_before_insert on public.sms_retry_queue: differs from this version: run ",
        database="alter table sms_retry_queue disable trigger smsretry_before_insert",
        mended="alter table sms_retry_queue enable trigger smsretry_before_insert",
    ),
    "a trigger of the application's refuses our rows": Trouble(
        "bad  rehearsal of a text: fails: queue_sms_retry (P0001): not like that",
        database="""create function public.refuse() returns trigger language plpgsql as
                    $$begin raise exception 'not like that'; end$$;
                    create trigger refuse before insert on sms_retry_queue for each row execute function refuse()""",
        mended="drop function public.refuse cascade",
    ),
    "the database is another one than production": Trouble(
        "bad  mark of the database: ",
        database="""insert into smsretry.mark (kind, address, marked_at, who, because)
                    values ('production', 'db.example.com', now(), 'Ann', 'Live')""",
        mended="delete from smsretry.mark",
    ),
    "no run has finished lately": Trouble(
        "bad  last finished run: was 1 h ago: start ",
        database="update smsretry.runs set started_at = started_at - interval '1 hour', "
        "finished_at = finished_at - interval '1 hour'",
    ),
    "Prefect's settings cannot be loaded": Trouble(
        "bad  Prefect's settings: cannot be loaded, so no run starts: pydantic_core._pydantic_core.ValidationError: 1 "
        "validation error for APISettings; request_timeout; Input should be a valid number",
        {"PREFECT_API_REQUEST_TIMEOUT": "soon"},
    ),
    "Prefect's folder cannot be written": Trouble(
        "bad  Prefect's settings: cannot be loaded, so no run starts: FileExistsError: [Errno 17] File exists: ",
        {"PREFECT_HOME": __file__},
    ),
    "Prefect stores results where nobody can": Trouble(
        "bad  Prefect's result storage: cannot be loaded, so no run starts: ",
        {"PREFECT_DEFAULT_RESULT_STORAGE_BLOCK": "local-file-system/gone"},
    ),
    "nobody answers at PREFECT_API_URL": Trouble(
        "bad  Prefect's API: 127.0.0.1:9 does not answer (ConnectError): check PREFECT_API_URL",
        {"PREFECT_API_URL": f"{_NOWHERE}/api"},
    ),
    "no deployment is registered": Trouble(
        f"bad  deployment {SCHEDULED}: is not registered: restart ",
        prefect=lambda registry: registry.say("delete from deployment"),
    ),
    "the deployment is paused": Trouble(
        f"bad  schedule of {SCHEDULED}: the deployment is paused, so nothing runs: switch it on ",
        prefect=lambda registry: registry.register(SCHEDULED, paused=True),
    ),
    "nobody asks for runs": Trouble(
        f"bad  runner of {SCHEDULED}: none has asked for its runs for 1 h 1 min: start ",
        prefect=lambda registry: registry.say(
            "update deployment set last_polled = last_polled - interval '3700 seconds'"
        ),
    ),
    "the work pool has no worker": Trouble(
        f"bad  runner of {SCHEDULED}: the work pool texts has no worker: start `prefect worker start --pool texts`",
        prefect=_alone_in_its_pool,
    ),
    "its runs fail": Trouble(
        f"bad  last completed run of {SCHEDULED}: never was, in 1 h; the newest one ended Failed: ",
        prefect=_failing,
    ),
}


@dataclass(frozen=True)
class Ward:
    """An installation that is in order, and the doctor who looks at it."""

    stack: Stack
    registry: Registry
    home: Path
    """Prefect's."""

    def doctor(self, *options: str, **variables: str) -> str:
        """What it says, with settings that are right but for these."""
        right = {**self.stack.environment(), "PREFECT_HOME": str(self.home), "PREFECT_API_URL": self.registry.api_url}
        with pytest.MonkeyPatch.context() as environment:
            forget_settings(environment)
            environment.delenv("COLUMNS", raising=False)
            for name, value in {**right, **variables}.items():
                environment.setenv(name, value)
            return CliRunner().invoke(app, ["doctor", *options]).output


@pytest.fixture(scope="module")
def registry(running_stack: Stack, prefect: Prefect) -> Iterator[Registry]:
    """What stands at the Prefect server when all is well; nothing of it stays."""
    registry = Registry(prefect, running_stack)
    registry.all_well()
    yield registry
    registry.empty()


@pytest.fixture
def ward(stack: Stack, registry: Registry, tmp_path: Path) -> Ward:
    """All is well, at this machine's time: a run was made just now."""
    stack.set_clock(datetime.now(UTC))
    stack.twilio.accounts.main.webhooks[SENDER] = "https://app.example.com/sms"
    with stack.connect() as connection:
        connection.execute(
            """insert into smsretry.runs (id, started_at, finished_at, told)
               select gen_random_uuid(), smsretry.clock(), smsretry.clock(), 'idle'"""
        )
    return Ward(stack, registry, tmp_path)


def test_where_all_is_well_nothing_is_said(ward: Ward) -> None:
    """But that texts go to the stand-in."""
    lines = ward.doctor().splitlines()
    assert [line for line in lines if not line.startswith("ok   ")] == [
        "warn TWILIO_BASE_URL: texts go to this address, and not to Twilio: right for a test, and only there"
    ]
    for line in (f"last completed run of {SCHEDULED}, ", "last finished run, ", "oldest due text: none"):
        assert any(told.startswith(f"ok   {line}") for told in lines)


@pytest.mark.parametrize("trouble", TROUBLES.values(), ids=list(TROUBLES))
def test_what_stops_texts_has_its_line(ward: Ward, trouble: Trouble) -> None:
    """It names the variable, host, object or deployment, and says what to do."""
    with ward.stack.connect() as connection:
        connection.execute(trouble.database.encode())
        if trouble.prefect:
            trouble.prefect(ward.registry)
        try:
            said = ward.doctor(**trouble.variables)
        finally:
            connection.execute(trouble.mended.encode())
            if trouble.prefect:
                ward.registry.all_well()
    assert trouble.line in said
