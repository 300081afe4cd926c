"""What most often stops texts, planted for real, and the line that `smsretry doctor` has for it.

Several things are wrong at once, where none hides another: that is how an installation is found, and each visit takes
seconds.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route
from typer.testing import CliRunner

from smsretry.cli.command import app
from smsretry.local.process.http import LocalServer
from smsretry.local.stack import SENDER, Stack
from tests.e2e.conftest import Prefect
from tests.e2e.registry import SCHEDULED, Registry
from tests.support.builders import forget_settings

pytestmark = pytest.mark.long

Doctor = Callable[..., str]
"""What `smsretry doctor` says, with settings that are right but for these."""
_NOWHERE = "http://127.0.0.1:9"
_NO_RUN = "cannot be loaded, so no run starts: "

VARIABLES = [
    (  # nobody answers
        {
            "SUPABASE_URL": _NOWHERE,
            "TWILIO_BASE_URL": _NOWHERE,
            "PREFECT_API_URL": f"{_NOWHERE}/api",
        },
        [
            "bad  Supabase: Supabase did not answer examine_sms_retries (ConnectError). Check SUPABASE_URL (http://127",
            ": 127.0.0.1:9 does not answer as Twilio does (",
            "bad  Prefect's API: 127.0.0.1:9 does not answer (ConnectError): check PREFECT_API_URL",
        ],
    ),
    (  # keys of others, a name that is misspelt, and a value that is none
        {
            "SUPABASE_SERVICE_ROLE_KEY": "wrong",
            "TWILIO_AUTH_TOKEN": "",
            "TWILIO_API_KEY_SID": "SK" + "0" * 32,
            "TWILIO_API_KEY_SECRET": "wrong",
            "SMSRETRY_INDOUBT": "hold",
            "PREFECT_API_REQUEST_TIMEOUT": "soon",
        },
        [
            "bad  Supabase: Supabase refused the key (HTTP 401: Invalid API key",
            ": refused (Twilio 20003: Permission Denied): check ",
            "warn SMSRETRY_INDOUBT: is no setting of smsretry: did you mean SMSRETRY_IN_DOUBT?",
            f"bad  Prefect's settings: {_NO_RUN}pydantic_core._pydantic_core.ValidationError: 1 "
            "validation error for APISettings; request_timeout; Input should be a valid number",
        ],
    ),
    (  # one that is missing, and a folder that is a file
        {"TWILIO_ACCOUNT_SID": "", "PREFECT_HOME": __file__},
        [
            "bad  TWILIO_ACCOUNT_SID: is not set",
            f"bad  Prefect's settings: {_NO_RUN}FileExistsError: [Errno 17] File exists: ",
        ],
    ),
]
"""Variables of the environment, and what is said of them."""

ELSEWHERE = "AC" + "0" * 32
_SPOILT = f"""
alter function slow_sms_sender rename to gone;
alter table sms_retry_queue disable trigger zz_smsretry_guard_row;
revoke update on send_logs from service_role;
insert into smsretry.mark (kind, address, marked_at, who, because)
values ('production', 'db.example.com', now(), 'Ann', 'Live');
insert into smsretry.senders (account, sent_by, named_at, paused_at, why_paused)
values ('{ELSEWHERE}', '+12125550100', now(), now(), 'The bill is not paid');
update smsretry.runs set started_at = started_at - interval '1 hour', finished_at = finished_at - interval '1 hour'
"""
_MENDED = """
alter function gone rename to slow_sms_sender;
alter table sms_retry_queue enable trigger zz_smsretry_guard_row;
grant update on send_logs to service_role;
delete from smsretry.mark;
delete from smsretry.senders
"""
IN_THE_DATABASE = [
    "bad  function public.slow_sms_sender(",
    "bad  trigger zz_smsretry_guard_row on public.sms_retry_queue: differs from this version: run ",
    "bad  rehearsal of a text: fails: queue_sms_retry (42501): permission denied for table send_logs",
    "bad  mark of the database: ",
    "bad  no run has finished, for 1 h",
    f"warn default sender …0100 of account {ELSEWHERE}: ",
    "bad  number …0100: the account does not own it",
]
AT_PREFECT = [
    f"bad  schedule of {SCHEDULED}: the deployment is paused, so nothing runs: switch it on ",
    "bad  runner of process-scheduled-sends: none has asked for its runs for 1 h ",
    "bad  deployment sms-status: is not registered: restart ",
    "bad  runner of sms-prune: the work pool texts has no worker: start `prefect worker start --pool texts`",
    "bad  runner of sync-delivery-status: the queue second of texts is paused, or a concurrency limit of them is 0",
    "bad  last completed run of sync-delivery-status: never was, in 1 h",
    "bad  last completed run of process-scheduled-sends: never was, in 1 h; nobody made a run: ",
    "s ago: the newest one ended Crashed: It died",
    " Late: no runner takes them, or a work queue is paused or ",
    "; the newest one ended Failed: It broke",
    f"bad  Prefect's server and result storage: {_NO_RUN}",
]


@pytest.fixture(scope="module")
def registry(running_stack: Stack, prefect: Prefect) -> Iterator[Registry]:
    """What stands at the Prefect server when all is well; nothing of it stays."""
    registry = Registry(prefect, running_stack)
    registry.all_well()
    yield registry
    registry.empty()


@pytest.fixture
def doctor(stack: Stack, registry: Registry, tmp_path: Path) -> Doctor:
    """All is well, at this machine's time: a run was made just now."""
    stack.set_clock(datetime.now(UTC))
    stack.twilio.accounts.main.webhooks[SENDER] = "https://app.example.com/sms"
    with stack.connect() as connection:
        connection.execute(
            """insert into smsretry.runs (id, started_at, finished_at, summary)
               select gen_random_uuid(), smsretry.clock(), smsretry.clock(), 'idle'"""
        )
    right = {
        **stack.environment(),
        "PREFECT_HOME": str(tmp_path),
        "PREFECT_API_URL": registry.api_url,
    }

    def doctor(**variables: str) -> str:
        with pytest.MonkeyPatch.context() as environment:
            forget_settings(environment)
            environment.delenv("COLUMNS", raising=False)
            for name, value in {**right, **variables}.items():
                environment.setenv(name, value)
            return CliRunner().invoke(app, ["doctor"]).output

    return doctor


def test_where_all_is_well_nothing_is_said_and_a_variable_that_stops_texts_is_named(
    doctor: Doctor, stack: Stack
) -> None:
    """But that texts go to the stand-in; and with the host that does not answer, whoever refused, and what to do."""
    lines = doctor().splitlines()
    assert [line for line in lines if not line.startswith("ok   ")] == [
        "warn TWILIO_BASE_URL: texts go to this address, and not to Twilio: right for a test, and only there"
    ]
    for line in (
        f"last completed run of {SCHEDULED}, ",
        "state of the queue: nothing waits",
    ):
        assert any(printed.startswith(f"ok   {line}") for printed in lines)
    asks_for_a_key = {
        "PREFECT_API_URL": f"{stack.environment()['SUPABASE_URL']}/rest/v1/rpc"
    }
    behind_proxy = Route(
        "/{_:path}",
        lambda asked: JSONResponse(
            "2.20.3", 200 if "x-access" in asked.headers else 401
        ),
    )
    with LocalServer(Starlette(routes=[behind_proxy])) as prefect_2:
        known = {
            "PREFECT_API_URL": prefect_2.url,
            "PREFECT_CLIENT_CUSTOM_HEADERS": '{"X-Access": "yes"}',
        }
        for variables, printed in [
            *VARIABLES,
            (
                asks_for_a_key,
                [" asks for an auth string: set PREFECT_API_AUTH_STRING to "],
            ),
            (
                known,
                [
                    "ok   Prefect's API at ",
                    f"{_NO_RUN}RuntimeError: Found incompatible versions: client: 3.",
                ],
            ),
        ]:
            said = doctor(**variables)
            assert [line for line in printed if line not in said] == [], said


def test_what_stops_texts_in_the_database_and_at_prefect_has_a_line_each(
    doctor: Doctor, stack: Stack, registry: Registry
) -> None:
    """By the object, the deployment, the work pool or the last run; and a number that the account does not own."""
    registry.prefect.post("work_pools/", {"name": "texts", "type": "process"})
    registry.prefect.post(
        "work_pools/texts/queues", {"name": "second", "concurrency_limit": 0}
    )
    registry.register("sms-prune", work_pool_name="texts")
    registry.register(
        "sync-delivery-status", work_pool_name="texts", work_queue_name="second"
    )
    registry.register(SCHEDULED, paused=True)
    registry.run(SCHEDULED, "CRASHED", message="It died")
    registry.say(
        """delete from deployment where name = 'sms-status';
           update deployment set last_polled = last_polled - interval '3700 seconds'
           where name = 'process-scheduled-sends';
           update deployment set created = created - interval '1 hour' where name <> 'process-sms-retries'"""
    )
    registry.run("sync-delivery-status", "FAILED", message="It broke")
    registry.missed("sync-delivery-status", 30)
    with stack.connect() as connection:
        connection.execute(_SPOILT)
        try:
            said = doctor(
                TWILIO_FROM_NUMBER="+12125550100",
                PREFECT_DEFAULT_RESULT_STORAGE_BLOCK="local-file-system/gone",
            )
        finally:
            connection.execute(_MENDED)
            registry.all_well()
    assert [
        line for line in [*IN_THE_DATABASE, *AT_PREFECT] if line not in said
    ] == [], said
