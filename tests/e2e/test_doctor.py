"""Misconfigurations, each planted for real, and the line that `smsretry doctor` has for it."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from importlib.resources import files
from pathlib import Path

import pytest
from typer.testing import CliRunner

from smsretry.adapters.supabase.migrate import migrate
from smsretry.cli.command import app
from smsretry.local.prefect_server import PrefectServer
from smsretry.local.stack import Stack
from tests.builders import forget_settings
from tests.conftest import Business
from tests.e2e.conftest import Prefect
from tests.e2e.registry import SCHEDULED, Registry

Doctor = Callable[..., str]
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def registry(running_stack: Stack, prefect: Prefect) -> Iterator[Registry]:
    """The shared Prefect server, as it is when all is well."""
    registry = Registry(prefect, running_stack)
    registry.all_well()
    yield registry
    registry.empty()


@pytest.fixture
def doctor(stack: Stack, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> Doctor:
    """Ask the doctor, with settings that are right but for these; None takes one away."""

    def ask(**changes: str | None) -> str:
        forget_settings(monkeypatch)
        right = {**stack.environment(), "PREFECT_API_URL": registry.api_url}
        for name, value in {**right, **changes}.items():
            if value is not None:
                monkeypatch.setenv(name, value)
        return CliRunner().invoke(app, ["doctor"]).output

    return ask


def test_where_all_is_well_nothing_is_said(doctor: Doctor, stack: Stack) -> None:
    """But that texts go to the stand-in."""
    _a_run_finished(stack, timedelta(0))
    lines = doctor().splitlines()
    assert [line for line in lines if not line.startswith("ok   ")] == [
        "warn TWILIO_BASE_URL: texts go to 127.0.0.1, and not to Twilio: right for a test, and only there"
    ]
    assert any(line.startswith(f"ok   last completed run of {SCHEDULED}, ") for line in lines)


VARIABLES = [
    ({"SUPABASE_URL": None}, "bad  SUPABASE_URL: is not set"),
    ({"SUPABASE_URL": "project.supabase.co"}, "bad  SUPABASE_URL: must be a web address that begins with https://"),
    (
        {"SUPABASE_URL": "https://x.supabase.co/rest/v1"},
        "bad  SUPABASE_URL: must be the project's URL alone, https://<project>.supabase.co, without /rest/v1",
    ),
    ({"SUPABASE_URL": NOWHERE}, "bad  Supabase: Supabase did not answer check_sms_retry_setup (ConnectError). Check "),
    (
        {"SUPABASE_SERVICE_ROLE_KEY": "eyJhbGciOi\nJIUzI1NiJ9"},
        "bad  SUPABASE_SERVICE_ROLE_KEY: has a line break, a space or another character that no key has: set it again",
    ),
    ({"SUPABASE_SERVICE_ROLE_KEY": "wrong"}, "bad  Supabase: Supabase refused the key"),
    (
        {"SUPABASE_SERVICE_ROLE_KEY": None, "SUPABASE_SERVICE_KEY": "x"},
        "warn SUPABASE_SERVICE_KEY: is no setting of smsretry: did you mean SUPABASE_SERVICE_ROLE_KEY?",
    ),
    (
        {"TWILIO_ACCOUNT_SID": None, "TWILIO_SID": "AC0"},
        "warn TWILIO_SID: is no setting of smsretry: did you mean TWILIO_ACCOUNT_SID or ",
    ),
    (
        {"SMSRETRY_INDOUBT": "hold"},
        "warn SMSRETRY_INDOUBT: is no setting of smsretry: did you mean SMSRETRY_IN_DOUBT?",
    ),
    ({"SMSRETRY_IN_DOUBT": "keep"}, "bad  SMSRETRY_IN_DOUBT: must be 'resend' or 'hold'"),
    (
        {"TWILIO_ACCOUNT_SID": "SK" + "0" * 32},
        "bad  TWILIO_ACCOUNT_SID: must be AC and 32 digits from 0 to f, as the Twilio console shows it",
    ),
    ({"TWILIO_READ_TIMEOUT_SECONDS": "soon"}, "bad  TWILIO_READ_TIMEOUT_SECONDS: must be a number"),
    ({"TWILIO_FROM_NUMBER": "(212) 555-0100"}, "bad  TWILIO_FROM_NUMBER: Phone number is not E.164"),
    ({"TWILIO_FROM_NUMBER": "+12125550100"}, "bad  Twilio number: the account does not own TWILIO_FROM_NUMBER"),
    ({"TWILIO_AUTH_TOKEN": "wrong"}, "bad  Twilio credentials: refused (Twilio 20003: Permission Denied): check "),
    ({"TWILIO_AUTH_TOKEN": None}, "bad  TWILIO_AUTH_TOKEN: Set TWILIO_API_KEY_SID and TWILIO_API_KEY_SECRET, or "),
    ({"TWILIO_BASE_URL": NOWHERE}, "bad  Twilio credentials: 127.0.0.1:9 does not answer (ConnectionError): check "),
    (
        # The closed proxy keeps this away from the real Twilio.
        {
            "TWILIO_BASE_URL": None, "HTTPS_PROXY": NOWHERE,
            "TWILIO_STATUS_CALLBACK_URL": "http://localhost:8000/status",
        },
        "bad  TWILIO_STATUS_CALLBACK_URL: Twilio cannot reach localhost from the internet: give the address of a ",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "line"), VARIABLES)
def test_a_wrong_variable_has_its_line(doctor: Doctor, changes: dict[str, str | None], line: str) -> None:
    """It names the variable or the host, and says what to do."""
    assert line in doctor(PREFECT_API_URL=None, **changes)


def _a_run_finished(stack: Stack, ago: timedelta) -> None:
    with stack.connect() as connection:
        connection.execute(
            """insert into smsretry.runs (id, started_at, finished_at, told)
               select gen_random_uuid(), smsretry.clock() - %(ago)s, smsretry.clock() - %(ago)s, 'idle'""",
            {"ago": ago},
        )


MIGRATE = "Run `smsretry migrate --again`"
HARM = [
    (
        "create or replace function public.set_sms_state_stop(state text, why text) returns boolean "
        "language sql as 'select true'",
        "bad  function set_sms_state_stop: is another version's, or somebody changed it: run `smsretry migrate`",
    ),
    (
        "drop function end_sms_retry; "
        "create function end_sms_retry(id uuid) returns boolean language sql as 'select true'; "
        "revoke all on function end_sms_retry from public, anon, authenticated",
        "bad  function end_sms_retry: is another version's, or somebody changed it",
    ),
    ("drop function hold_sms_retry", "bad  function hold_sms_retry: missing: run `smsretry migrate`"),
    (
        "create or replace function smsretry.before_insert() returns trigger "
        "language plpgsql as 'begin return new; end'",
        "bad  functions of the schema smsretry: missing, double, changed or another version's: before_insert. Run ",
    ),
    (
        "grant execute on function claim_due_sms_retries to anon",
        "bad  function claim_due_sms_retries: anon or authenticated may call it: revoke execute, or run ",
    ),
    (
        "revoke update on send_logs from service_role",
        f"bad  grants of service_role: missing or switched off: update of send_logs. {MIGRATE}",
    ),
    (
        "alter table sms_send_attempts drop column sent_by cascade",
        "bad  columns: missing or switched off: sent_by of sms_send_attempts. Run: alter table "
        "public.sms_send_attempts add column sent_by text",
    ),
    ("drop table smsretry.runs", f"bad  tables and views: missing: smsretry.runs. {MIGRATE}"),
    (
        "drop view smsretry.text_on_record cascade",
        f"bad  tables and views: missing: smsretry.text_on_record. {MIGRATE}",
    ),
    (
        "drop table smsretry.stopped_states cascade",
        "bad  Supabase: A table, view or type that check_sms_retry_setup needs is gone from the database (42P01). "
        f"{MIGRATE}",
    ),
    (
        "alter role service_role nobypassrls",
        "bad  service_role: is bound by row level security, so it sees no text. Run: alter role service_role bypassrls",
    ),
    ("delete from smsretry.secret", "bad  key of the hashed numbers: is gone (smsretry.secret is empty), so nobody "),
    (
        'alter policy "Owners read their retries" on sms_retry_queue using (true)',
        'warn policy "Owners read their retries" of sms_retry_queue: lets every signed-in user read all rows: drop or ',
    ),
    (
        "alter table customers drop column phone_status cascade",
        "bad  customers.phone_status: is missing: alter table public.customers add column phone_status text",
    ),
    (
        "alter table sms_retry_queue drop constraint sms_retry_queue_lease",
        "bad  constraints: missing or switched off: sms_retry_queue_lease of sms_retry_queue. Run: alter table "
        "public.sms_retry_queue add constraint sms_retry_queue_lease check (status <> 'processing' or ",
    ),
    (
        'drop policy "Owners read their retries" on sms_retry_queue',
        f"bad  policies: missing or switched off: Owners read their retries of sms_retry_queue. {MIGRATE}",
    ),
    (
        "drop trigger smsretry_keep_suppression on customers",
        f"bad  triggers: missing or switched off: smsretry_keep_suppression of customers. {MIGRATE}",
    ),
    (
        "drop index sms_retry_queue_one_live_row",
        f"bad  indexes: missing or switched off: sms_retry_queue_one_live_row of sms_retry_queue. {MIGRATE}",
    ),
    (
        "alter table send_logs disable row level security",
        "bad  row level security of send_logs: is off: anyone with the anon key may read it. Run: alter table ",
    ),
]


_MENDED = """
drop function if exists end_sms_retry(uuid);
alter table send_logs enable row level security;
alter table customers add column if not exists phone_status text;
alter table sms_send_attempts add column if not exists sent_by text;
alter role service_role bypassrls;
alter table sms_retry_queue drop constraint if exists sms_retry_queue_lease,
    add constraint sms_retry_queue_lease check (status <> 'processing' or claimed_at is not null);
"""
"""What `smsretry migrate --again` does not bring back, as the lines say it."""


@pytest.fixture
def harmed(stack: Stack, request: pytest.FixtureRequest) -> Iterator[None]:
    """Something in the database is not as the migrations made it; then the advice is followed."""
    with stack.connect() as connection:
        connection.execute(request.param.encode())
        yield
        connection.execute(_MENDED)
        migrate(stack.database_url, again=True)
        connection.execute(files("smsretry.local.postgres").joinpath("movable_clock.sql").read_bytes())
        connection.execute("notify pgrst, 'reload schema'")


@pytest.mark.parametrize(("harmed", "line"), HARM, indirect=["harmed"])
def test_a_database_that_was_changed_has_its_line(doctor: Doctor, harmed: None, line: str) -> None:
    """It names what is missing or changed. The advice is followed; at the end all is as it was."""
    assert line in doctor(PREFECT_API_URL=None)


@pytest.mark.parametrize(
    ("ago", "line"),
    [
        (None, "warn last finished run: there is none yet: start `python -m flows.serve` under a supervisor, or let "),
        (timedelta(minutes=9), "ok   last finished run, 9 min ago"),
        (timedelta(minutes=25), "bad  last finished run: was 25 min ago: start `python -m flows.serve` under a "),
    ],
)
def test_runs_that_stopped_are_told_by_the_database_too(
    doctor: Doctor, stack: Stack, ago: timedelta | None, line: str
) -> None:
    """It knows of every run, also where cron makes them."""
    if ago is not None:
        _a_run_finished(stack, ago)
    assert line in doctor(PREFECT_API_URL=None)


def test_texts_that_are_late_or_held_have_their_lines(doctor: Doctor, business: Business) -> None:
    """As `smsretry status` and a monitor tell it."""
    assert "ok   oldest due text: none" in doctor(PREFECT_API_URL=None)
    business.due_text(due=timedelta(minutes=-25))
    held = business.due_text()
    business.connection.execute(
        "update sms_retry_queue set held_since = smsretry.clock(), why = 'The account is refused' where id = %s", [held]
    )
    told = doctor(PREFECT_API_URL=None)
    assert "bad  oldest due text: has been due for 25 min: runs do not take it, or sending is stopped: " in told
    assert "warn held texts: 1 wait for something that a person can mend: `smsretry status` says for what" in told


HOUR = "interval '3700 seconds'"
OF_OURS = f"where deployment_id = (select id from deployment where name = '{SCHEDULED}')"


def _registered(**changes: object) -> Callable[[Registry], object]:
    return lambda registry: registry.register(SCHEDULED, **changes)


def _said(statement: str) -> Callable[[Registry], object]:
    def plant(registry: Registry) -> None:
        registry.say(statement)

    return plant


def _late(registry: Registry) -> None:
    for _ in range(2):
        registry.run(SCHEDULED, "SCHEDULED", name="Late")


def _zombie(registry: Registry) -> None:
    run = registry.run(SCHEDULED, "RUNNING")
    registry.say(f"update flow_run set start_time = start_time - {HOUR} where id = '{run}'")


def _long_ago(registry: Registry) -> None:
    registry.say(f"update flow_run set end_time = end_time - {HOUR} {OF_OURS}")
    registry.run(SCHEDULED, "FAILED", name="Failed", message="Stopped sending: the account is refused")


SCHEDULES = [
    (_said("delete from deployment"), f"bad  deployment {SCHEDULED}: is not registered: restart "),
    (_registered(version="0.0.9"), f"bad  deployment {SCHEDULED}: is not this version's: version is 0.0.9 there and "),
    (_registered(parameters={"limit": 2}), "parameters is {'limit': 2} there and {} here"),
    (
        _registered(schedules=[{"schedule": {"cron": "0 * * * *", "timezone": "UTC"}, "slug": "hourly"}]),
        "schedule is hourly: 0 * * * * UTC there and every-minute: * * * * * UTC here. Restart ",
    ),
    (
        _registered(paused=True),
        f"bad  schedule of {SCHEDULED}: the deployment is paused, so nothing runs: switch it on ",
    ),
    (
        _said("update deployment_schedule set active = false"),
        f"bad  schedule of {SCHEDULED}: every-minute is switched off: switch it on in the UI, or ",
    ),
    (
        _said("update deployment set last_polled = null"),
        f"bad  runner of {SCHEDULED}: none has ever asked for its runs: start `python -m flows.serve`, or a worker",
    ),
    (
        _said(f"update deployment set last_polled = last_polled - {HOUR}"),
        f"bad  runner of {SCHEDULED}: none has asked for its runs for 61 min: start ",
    ),
    (
        _long_ago,
        f"bad  last completed run of {SCHEDULED}: was 61 min ago; the newest one ended Failed: Stopped sending: the ",
    ),
    (_late, f"bad  late runs of {SCHEDULED}: 2 wait for a runner: is one alive, and are its five processes busy?"),
    (_zombie, f"bad  runs of {SCHEDULED} that do not end: 1 have been Running for more than 15 min"),
]


@pytest.mark.parametrize(("plant", "line"), SCHEDULES)
def test_a_schedule_that_stopped_has_its_line(
    doctor: Doctor, registry: Registry, plant: Callable[[Registry], object], line: str
) -> None:
    """Prefect itself says Ready in most of these."""
    plant(registry)
    output = doctor(SUPABASE_URL=None)
    registry.all_well()
    assert line in output


def test_prefect_that_cannot_be_asked_is_named_by_its_host(doctor: Doctor, registry: Registry) -> None:
    """Nobody there, a web page instead of the API, no address at all, and no Prefect: cron is a way, too."""
    url = registry.prefect.server.url
    for api_url, line in (
        (f"{NOWHERE}/api", "bad  Prefect's API: 127.0.0.1:9 does not answer (ConnectError): check PREFECT_API_URL, "),
        (url, "which is not Prefect's API: PREFECT_API_URL must be the API's address, http://<host>:4200/api"),
        ("prefect", "bad  PREFECT_API_URL: must be the address of Prefect's API: http://<host>:4200/api"),
        (None, "warn Prefect: PREFECT_API_URL is not set, so whether anything runs on a schedule is unknown."),
    ):
        assert line in doctor(PREFECT_API_URL=api_url)
    assert "did you mean PREFECT_API_URL?" in doctor(PREFECT_API_URL=None, PREFECT_API_ULR=url)


def test_an_open_api_is_told_where_others_reach_it(doctor: Doctor, registry: Registry) -> None:
    """And a closed one where the auth string is missing or another's."""
    api_url = registry.api_url.replace("127.0.0.1", "0.0.0.0")
    assert "warn Prefect's auth string: 0.0.0.0:" in doctor(PREFECT_API_URL=api_url)


def test_an_auth_string_that_is_missing_or_refused_has_its_line(
    doctor: Doctor, registry: Registry, tmp_path: Path
) -> None:
    """A second server on the same database, which wants one."""
    server = PrefectServer(tmp_path / "home", registry.stack.postgres, auth_string="ops:secret")
    with server:
        url = f"{server.url}/api"
        assert "asks for an auth string: set PREFECT_API_AUTH_STRING" in doctor(PREFECT_API_URL=url)
        refused = doctor(PREFECT_API_URL=url, PREFECT_API_AUTH_STRING="ops:guess")
        assert "refuses PREFECT_API_AUTH_STRING: it must be the server's PREFECT_SERVER_API_AUTH_STRING" in refused
        assert "bad" not in doctor(PREFECT_API_URL=url, PREFECT_API_AUTH_STRING="ops:secret")
        open_url = url.replace("127.0.0.1", "0.0.0.0")
        closed = doctor(PREFECT_API_URL=open_url, PREFECT_API_AUTH_STRING="ops:secret")
        assert "ok   Prefect's auth string" in closed
