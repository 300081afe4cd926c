"""Misconfigurations, each planted for real, and how the line begins that `smsretry doctor` has for it.

    python -m tests.e2e.misconfigurations

plants one after the other on a stack of its own and prints what the doctor says, as a table.
"""

import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import pytest
from psycopg import Connection
from typer.testing import CliRunner

from smsretry.adapters import answering
from smsretry.adapters.migrations.migrate import migrate
from smsretry.cli.command import app
from smsretry.local.prefect_server import PrefectServer
from smsretry.local.process.http import LocalServer
from smsretry.local.stack import Stack
from tests.conftest import EMPTY
from tests.e2e.conftest import Prefect
from tests.e2e.planted.database import AGAIN, CONNECT_ANEW, PLANTED, TOLD_ELSEWHERE
from tests.e2e.planted.elsewhere import elsewhere
from tests.e2e.planted.misconfiguration import CLOSED, ELSEWHERE, HOME, NOWHERE, OPEN, Misconfiguration
from tests.e2e.planted.outside import OUTSIDE
from tests.e2e.registry import SCHEDULED, Registry
from tests.integration.catalog import is_as_installed, restoring_statements
from tests.support.builders import forget_settings

AUTH_STRING: Final = "ops:secret"


def _registered(**changes: object) -> Callable[[Registry], object]:
    return lambda registry: registry.register(SCHEDULED, **changes)


def _said(statement: str) -> Callable[[Registry], object]:
    return lambda registry: registry.say(statement)


_HOUR: Final = "interval '3700 seconds'"
_OF_OURS: Final = f"where deployment_id = (select id from deployment where name = '{SCHEDULED}')"


def _late(registry: Registry) -> None:
    for _ in range(2):
        registry.run(SCHEDULED, "SCHEDULED", name="Late")


def _zombie(registry: Registry) -> None:
    run = registry.run(SCHEDULED, "RUNNING")
    registry.say(f"update flow_run set start_time = start_time - {_HOUR} where id = '{run}'")


def _long_ago(registry: Registry) -> None:
    registry.say(f"update flow_run set end_time = end_time - {_HOUR} {_OF_OURS}")
    registry.run(SCHEDULED, "FAILED", name="Failed", message="Stopped sending: the account is refused")


_A_TEXT: Final = """
    with b as (insert into businesses (id, user_id, name, timezone)
               values (gen_random_uuid(), gen_random_uuid(), 'Maple Street', 'America/New_York') returning id),
         c as (insert into customers (id, business_id, phone, sms_consent_status)
               select gen_random_uuid(), id, '+12125550123', 'opted_in' from b returning id, business_id),
         l as (insert into send_logs (id, business_id, customer_id, channel, subject)
               select gen_random_uuid(), business_id, id, 'sms', 'Hi Ann' from c returning id, business_id, customer_id)
    insert into sms_retry_queue (id, business_id, send_log_id, customer_id, scheduled_for)
    select gen_random_uuid(), business_id, id, customer_id, smsretry.clock() - interval '25 minutes' from l;
"""

_A_SCHEDULED_SEND: Final = """
    with b as (insert into businesses (id, user_id, name, timezone)
               values (gen_random_uuid(), gen_random_uuid(), 'Maple Street', 'America/New_York') returning id),
         c as (insert into customers (id, business_id, phone, sms_consent_status)
               select gen_random_uuid(), id, '+12125550123', 'opted_in' from b returning id, business_id)
    insert into scheduled_sends (business_id, customer_id, body, scheduled_for)
    select business_id, id, 'Hi Ann', smsretry.clock() from c;
"""

MISCONFIGURATIONS: Final = (
    Misconfiguration(
        "SUPABASE_URL is not set", "bad  SUPABASE_URL: is not set", {"SUPABASE_URL": None},
    ),
    Misconfiguration(
        "SUPABASE_URL has no https://",
        "bad  SUPABASE_URL: must be a web address that begins with https://",
        {"SUPABASE_URL": "project.supabase.co"},
    ),
    Misconfiguration(
        "SUPABASE_URL ends in /rest/v1",
        "bad  SUPABASE_URL: must be the project's URL alone, https://<project>.supabase.co, without /rest/v1",
        {"SUPABASE_URL": "https://x.supabase.co/rest/v1"},
    ),
    Misconfiguration(
        "nobody answers at SUPABASE_URL",
        "bad  Supabase: Supabase did not answer count_sms_answer (ConnectError). Check SUPABASE_URL (http://127",
        {"SUPABASE_URL": NOWHERE},
    ),
    Misconfiguration(
        "the key was copied with a line break",
        "bad  SUPABASE_SERVICE_ROLE_KEY: has a line break, a space or another character that no key has: set it again",
        {"SUPABASE_SERVICE_ROLE_KEY": "eyJhbGciOi\nJIUzI1NiJ9"},
    ),
    Misconfiguration(
        "the key is another project's",
        "bad  Supabase: Supabase refused the key",
        {"SUPABASE_SERVICE_ROLE_KEY": "wrong"},
    ),
    Misconfiguration(
        "SUPABASE_SERVICE_ROLE_KEY is misspelt",
        "warn SUPABASE_SERVICE_KEY: is no setting of smsretry: did you mean SUPABASE_SERVICE_ROLE_KEY?",
        {"SUPABASE_SERVICE_ROLE_KEY": None, "SUPABASE_SERVICE_KEY": "x"},
    ),
    Misconfiguration(
        "TWILIO_ACCOUNT_SID is misspelt",
        "warn TWILIO_SID: is no setting of smsretry: did you mean TWILIO_ACCOUNT_SID or ",
        {"TWILIO_ACCOUNT_SID": None, "TWILIO_SID": "AC0"},
    ),
    Misconfiguration(
        "SMSRETRY_IN_DOUBT is misspelt",
        "warn SMSRETRY_INDOUBT: is no setting of smsretry: did you mean SMSRETRY_IN_DOUBT?",
        {"SMSRETRY_INDOUBT": "hold"},
    ),
    Misconfiguration(
        "SMSRETRY_IN_DOUBT has a value that does not exist",
        "bad  SMSRETRY_IN_DOUBT: must be 'resend' or 'hold'",
        {"SMSRETRY_IN_DOUBT": "keep"},
    ),
    Misconfiguration(
        "TWILIO_ACCOUNT_SID is an API key's SID",
        "bad  TWILIO_ACCOUNT_SID: must be AC and 32 digits from 0 to f, as the Twilio console shows it",
        {"TWILIO_ACCOUNT_SID": "SK" + "0" * 32},
    ),
    Misconfiguration(
        "a timeout is a word",
        "bad  TWILIO_READ_TIMEOUT_SECONDS: must be a number",
        {"TWILIO_READ_TIMEOUT_SECONDS": "soon"},
    ),
    Misconfiguration(
        "the sender's number is not E.164",
        "bad  TWILIO_FROM_NUMBER: Phone number is not E.164",
        {"TWILIO_FROM_NUMBER": "(212) 555-0100"},
    ),
    Misconfiguration(
        "the sender's number is not the account's",
        "bad  Twilio number: the account does not own TWILIO_FROM_NUMBER",
        {"TWILIO_FROM_NUMBER": "+12125550100"},
    ),
    Misconfiguration(
        "number and messaging service are both set",
        "bad  TWILIO_FROM_NUMBER: Set one of TWILIO_MESSAGING_SERVICE_SID and TWILIO_FROM_NUMBER",
        {"TWILIO_MESSAGING_SERVICE_SID": "MG" + "0" * 32},
    ),
    Misconfiguration(
        "the auth token is wrong",
        "bad  Twilio credentials: refused (Twilio 20003: Permission Denied): check ",
        {"TWILIO_AUTH_TOKEN": "wrong"},
    ),
    Misconfiguration(
        "neither auth token nor API key is set",
        "bad  TWILIO_AUTH_TOKEN: Set TWILIO_API_KEY_SID and TWILIO_API_KEY_SECRET, or ",
        {"TWILIO_AUTH_TOKEN": None},
    ),
    Misconfiguration(
        "the list of accounts is not JSON",
        'bad  TWILIO_ACCOUNTS: is not JSON like {"AC…": {"auth_token": "…"}}',
        {"TWILIO_ACCOUNTS": "AC0:token"},
    ),
    Misconfiguration(
        "an entry in the list of accounts has no token",
        f"bad  TWILIO_ACCOUNTS: account AC{'1' * 32}: must have auth_token, or api_key_sid and ",
        {"TWILIO_ACCOUNTS": f'{{"AC{"1" * 32}": {{"token": "secret"}}}}'},
    ),
    Misconfiguration(
        "the file of accounts is not there",
        "bad  TWILIO_ACCOUNTS_FILE: the file cannot be read (FileNotFoundError)",
        {"TWILIO_ACCOUNTS_FILE": "/nowhere/accounts.json"},
    ),
    Misconfiguration(
        "Twilio's host does not answer",
        "bad  Twilio credentials: 127.0.0.1:9 does not answer (ConnectionError): check ",
        {"TWILIO_BASE_URL": NOWHERE},
    ),
    Misconfiguration(
        "the status callback is on localhost",
        "bad  TWILIO_STATUS_CALLBACK_URL: Twilio cannot reach localhost from the internet: give the address of a ",
        # The closed proxy keeps this away from the real Twilio.
        {"TWILIO_BASE_URL": None, "HTTPS_PROXY": NOWHERE, "TWILIO_STATUS_CALLBACK_URL": "http://localhost:8000/status"},
    ),
    Misconfiguration(
        "a function has another body",
        "bad  function set_sms_state_stop: has another body: another version's, or somebody changed it, kind is ",
        database="create or replace function public.set_sms_state_stop(state text, why text) returns boolean "
        "language sql as 'select true'",
    ),
    Misconfiguration(
        "a function has an older version's parameters",
        "bad  function end_sms_retry: has other parameters (public.end_sms_retry(uuid)). Run: drop function "
        "public.end_sms_retry(uuid); then `smsretry migrate --again`",
        database="drop function end_sms_retry; "
        "create function end_sms_retry(id uuid) returns boolean language sql as 'select true'; "
        "revoke all on function end_sms_retry from public, anon, authenticated",
    ),
    Misconfiguration(
        "a function is missing",
        f"bad  function hold_sms_retry: is missing: {AGAIN} (schemas/worker/hold_sms_retry.sql)",
        database="drop function hold_sms_retry",
    ),
    Misconfiguration(
        "an internal function has another body",
        "bad  function smsretry.before_insert: has another body: another version's, or somebody changed it, ",
        database="create or replace function smsretry.before_insert() returns trigger "
        "language plpgsql as 'begin return new; end'",
    ),
    Misconfiguration(
        "anon may call a function",
        "bad  function claim_due_sms_retries: may be called by anon, service_role, and must be by service_role "
        "alone: run ",
        database="grant execute on function claim_due_sms_retries to anon",
    ),
    Misconfiguration(
        "service_role may not update a table",
        f"bad  grants on send_logs: service_role is not granted update: {AGAIN}",
        database="revoke update on send_logs from service_role",
    ),
    Misconfiguration(
        "service_role may not use the schema",
        "bad  functions, tables and grants: The database refused examine_sms_retries with 42501: service_role lacks "
        "a grant",
        database="revoke usage on schema smsretry from service_role",
    ),
    Misconfiguration(
        "service_role is bound by row level security",
        "bad  service_role: is bound by row level security, so it sees no text. Run: alter role service_role bypassrls",
        database="alter role service_role nobypassrls",
    ),
    Misconfiguration(
        "a column of ours is missing",
        "bad  column sent_by of sms_send_attempts: is missing. Run: alter table "
        "public.sms_send_attempts add column sent_by text",
        database="alter table sms_send_attempts drop column sent_by cascade",
    ),
    Misconfiguration(
        "a column of the application's is missing",
        "bad  customers.phone_status: is missing: alter table public.customers add column phone_status text",
        database="alter table customers drop column phone_status cascade",
    ),
    Misconfiguration(
        "a table is missing",
        f"bad  table smsretry.runs: is missing. If somebody renamed or moved it, name it back. Otherwise {AGAIN}",
        database="drop table smsretry.runs",
    ),
    Misconfiguration(
        "the queue has another name",
        f"bad  table sms_retry_queue: is missing. If somebody renamed or moved it, name it back. Otherwise {AGAIN}",
        database="alter table sms_retry_queue rename to old_queue",
    ),
    Misconfiguration(
        "nobody's turn is remembered",
        "bad  places of the turns: are gone, so a business with many texts may keep others waiting: run `smsretry "
        "migrate",
        database="delete from smsretry.turns",
    ),
    Misconfiguration(
        "a function is missing that a function of the check calls",
        "bad  state of the queue: A function that examine_sms_retries calls, or it itself, is gone or has other "
        "parameters ",
        database="drop function sms_status",
    ),
    Misconfiguration(
        "PostgREST may not become service_role",
        "bad  rows of an answer: The database refused count_sms_answer with 42501: PostgREST's login may not become ",
        database="revoke service_role from authenticator",
    ),
    Misconfiguration(
        "service_role may not use the schema public",
        "bad  rows of an answer: The database refused count_sms_answer with 42501: service_role may not use the "
        "schema ",
        database="revoke usage on schema public from service_role, public",
    ),
    Misconfiguration(
        "the schema is gone",
        "bad  functions, tables and grants: A table, view or type that examine_sms_retries needs is gone from the ",
        database="drop schema smsretry cascade",
    ),
    Misconfiguration(
        "a view is missing",
        f"bad  view smsretry.text_on_record: is missing: {AGAIN} (schemas/records/text_on_record.sql)",
        database="drop view smsretry.text_on_record cascade",
    ),
    Misconfiguration(
        "a table is missing that the check itself reads",
        "bad  table smsretry.stopped_states: is missing. If somebody renamed or moved it, name it back. Otherwise "
        f"{AGAIN}",
        database="drop table smsretry.stopped_states cascade",
    ),
    Misconfiguration(
        "the key of the hashed numbers is gone",
        "bad  key of the hashed numbers: is gone (smsretry.secret is empty), so nobody ",
        database="delete from smsretry.secret",
    ),
    Misconfiguration(
        "a constraint is missing",
        "bad  constraint sms_retry_queue_lease of sms_retry_queue: is missing. Run: alter table "
        "public.sms_retry_queue add "
        "constraint sms_retry_queue_lease CHECK (((status <> 'processing'::text) OR ",
        database="alter table sms_retry_queue drop constraint sms_retry_queue_lease",
    ),
    Misconfiguration(
        "a policy is missing",
        f"bad  policy Owners read their retries of sms_retry_queue: is missing: {AGAIN}",
        database='drop policy "Owners read their retries" on sms_retry_queue',
    ),
    Misconfiguration(
        "a policy lets everybody read",
        'warn policy "Owners read their retries" of sms_retry_queue: lets every signed-in user read all rows: drop or ',
        database='alter policy "Owners read their retries" on sms_retry_queue using (true)',
    ),
    Misconfiguration(
        "a policy lets everybody queue",
        'warn policy "anything" of sms_retry_queue: lets every signed-in user have any other\'s texts sent: drop or '
        'narrow it',
        database="create policy anything on sms_retry_queue for insert to authenticated with check (true)",
    ),
    Misconfiguration(
        "a trigger is missing",
        f"bad  trigger smsretry_keep_suppression of customers: is missing: {AGAIN}",
        database="drop trigger smsretry_keep_suppression on customers",
    ),
    Misconfiguration(
        "a trigger is switched off",
        "bad  trigger smsretry_before_insert of sms_retry_queue: fires never. Run: alter table "
        "public.sms_retry_queue enable "
        "trigger smsretry_before_insert",
        database="alter table sms_retry_queue disable trigger smsretry_before_insert",
    ),
    Misconfiguration(
        "the table of scheduled sends is missing",
        f"bad  table scheduled_sends: is missing. If somebody renamed or moved it, name it back. Otherwise {AGAIN}",
        database="drop table scheduled_sends cascade",
    ),
    Misconfiguration(
        "a trigger fires for replicas alone",
        "bad  trigger smsretry_before_insert of sms_retry_queue: fires for replicas alone. Run: alter table "
        "public.sms_retry_queue enable "
        "trigger smsretry_before_insert",
        database="alter table sms_retry_queue enable replica trigger smsretry_before_insert",
    ),
    Misconfiguration(
        "the trigger of scheduled sends is switched off",
        "bad  trigger smsretry_scheduled_send_changed of scheduled_sends: fires never. Run: alter table "
        "public.scheduled_sends "
        "enable trigger smsretry_scheduled_send_changed",
        database="alter table scheduled_sends disable trigger smsretry_scheduled_send_changed",
    ),
    Misconfiguration(
        "a constraint of scheduled sends is missing",
        "bad  constraint scheduled_sends_queued of scheduled_sends: is missing. Run: alter table "
        "public.scheduled_sends add "
        "constraint scheduled_sends_queued CHECK (((status <> 'queued'::text) OR (send_log_id ",
        database="alter table scheduled_sends drop constraint scheduled_sends_queued",
    ),
    Misconfiguration(
        "no policy lets owners read their scheduled sends",
        "warn policies of scheduled_sends: let nobody who is signed in read a row, although a grant does: revoke the ",
        database='drop policy "Owners read their scheduled sends" on scheduled_sends',
    ),
    Misconfiguration(
        "a trigger of the application's refuses our rows",
        "bad  rehearsal of queue, claim, begin and finish: fails: queue_sms_retry (P0001): not like that",
        database="create function public.refuse() returns trigger language plpgsql as "
        "$$begin raise exception 'not like that'; end$$; "
        "create trigger refuse before insert on sms_retry_queue for each row execute function refuse()",
    ),
    Misconfiguration(
        "a send log's status has no default",
        "bad  send_logs.status: must have a default, for a text that waits is given it: alter table public.send_logs ",
        database="alter table send_logs alter column status drop default",
    ),
    Misconfiguration(
        "a text of the queue has ended by default",
        "bad  sms_retry_queue.status: is failed by default, and a text that waits was not sent: alter table "
        "public.sms_retry",
        database="alter table sms_retry_queue alter column status set default 'failed'",
    ),
    Misconfiguration(
        "send logs must have a column that smsretry does not fill",
        'warn rehearsal of a scheduled send: fails: making its send log (23502): null value in column "campaign" of ',
        database="alter table send_logs add column campaign text not null",
    ),
    Misconfiguration(
        "an index is missing",
        f"bad  index sms_retry_queue_one_live_row of sms_retry_queue: is missing: {AGAIN}",
        database="drop index sms_retry_queue_one_live_row",
    ),
    Misconfiguration(
        "row level security is off",
        "bad  row level security of send_logs: is off: anyone with the anon key may read it. Run: alter table ",
        database="alter table send_logs disable row level security",
    ),
    Misconfiguration(
        "a text has been due for long",
        "bad  oldest due text: has been due for 25 min: runs do not take it, or sending is stopped: ",
        database=_A_TEXT,
    ),
    Misconfiguration(
        "a text is held",
        "warn held texts: 1 wait for something that a person can fix: `smsretry status` says for what",
        database=_A_TEXT + "update sms_retry_queue set held_since = smsretry.clock(), why = 'The account is refused'",
    ),
    Misconfiguration(
        "nobody can change a scheduled send whose time has come",
        "warn held scheduled sends: 1 wait for something that a person can fix: `smsretry explain --row ",
        database=_A_SCHEDULED_SEND + "create function public.refuse() returns trigger language plpgsql as "
        "$$begin raise exception 'not like that'; end$$; "
        "create trigger refuse before update on scheduled_sends for each row execute function refuse(); "
        "select queue_scheduled_sms()",
    ),
    Misconfiguration(
        "no run has ever been made",
        "warn last finished run: there is none yet: start `smsretry serve` under a supervisor, or let ",
        database="delete from smsretry.runs",
    ),
    Misconfiguration(
        "no run has finished for 25 minutes",
        "bad  last finished run: was 25 min ago: start `smsretry serve` under a ",
        database="update smsretry.runs set finished_at = finished_at - interval '25 minutes'",
    ),
    Misconfiguration(
        "sending is stopped",
        "warn sending: had stopped: The account is refused",
        database="insert into smsretry.circuit (opened_at, why) values (smsretry.clock(), 'The account is refused')",
    ),
    Misconfiguration(
        "a state's stop was forgotten",
        "warn texts to LA: are stopped since ",
        database="insert into smsretry.stopped_states (state, stopped_at, why) "
        "values ('LA', smsretry.clock() - interval '90 days', 'A hurricane')",
    ),
    Misconfiguration(
        "nobody answers at PREFECT_API_URL",
        "bad  Prefect's API: 127.0.0.1:9 does not answer (ConnectError): check PREFECT_API_URL, ",
        {"PREFECT_API_URL": f"{NOWHERE}/api"},
    ),
    Misconfiguration(
        "PREFECT_API_URL is the UI's address",
        "which is not Prefect's API: PREFECT_API_URL must be the API's address, http://<host>:4200/api",
        {"PREFECT_API_URL": OPEN},
    ),
    Misconfiguration(
        "PREFECT_API_URL is no address",
        "bad  PREFECT_API_URL: must be the address of Prefect's API: http://<host>:4200/api",
        {"PREFECT_API_URL": "prefect"},
    ),
    Misconfiguration(
        "PREFECT_API_URL is not set",
        "warn Prefect: PREFECT_API_URL is not set, so whether anything runs on a schedule is unknown.",
        {"PREFECT_API_URL": None},
    ),
    Misconfiguration(
        "PREFECT_API_URL is misspelt",
        "warn PREFECT_API_ULR: is no setting of smsretry: did you mean PREFECT_API_URL?",
        {"PREFECT_API_ULR": f"{OPEN}/api"},
    ),
    Misconfiguration(
        "Prefect's API answers anyone from elsewhere",
        "warn Prefect's auth string: 0.0.0.0:",
        {"PREFECT_API_URL": "{open at 0.0.0.0}/api"},
    ),
    Misconfiguration(
        "Prefect's auth string is not set",
        "asks for an auth string: set PREFECT_API_AUTH_STRING",
        {"PREFECT_API_URL": f"{CLOSED}/api"},
    ),
    Misconfiguration(
        "Prefect's auth string is wrong",
        "refuses PREFECT_API_AUTH_STRING: it must be the server's PREFECT_SERVER_API_AUTH_STRING",
        {"PREFECT_API_URL": f"{CLOSED}/api", "PREFECT_API_AUTH_STRING": "ops:guess"},
    ),
    Misconfiguration(
        "no deployment is registered",
        f"bad  deployment {SCHEDULED}: is not registered: restart ",
        prefect=_said("delete from deployment"),
    ),
    Misconfiguration(
        "the deployment is an older version's",
        f"bad  deployment {SCHEDULED}: is not this version's: version is 0.0.9 there and ",
        prefect=_registered(version="0.0.9"),
    ),
    Misconfiguration(
        "the deployment has other parameters",
        "parameters is {'limit': 2} there and {} here",
        prefect=_registered(parameters={"limit": 2}),
    ),
    Misconfiguration(
        "the deployment has another schedule",
        "schedule is hourly: 0 * * * * UTC there and every-minute: * * * * * UTC here. Restart ",
        prefect=_registered(schedules=[{"schedule": {"cron": "0 * * * *", "timezone": "UTC"}, "slug": "hourly"}]),
    ),
    Misconfiguration(
        "the deployment is paused",
        f"bad  schedule of {SCHEDULED}: the deployment is paused, so nothing runs: switch it on ",
        prefect=_registered(paused=True),
    ),
    Misconfiguration(
        "the schedule is switched off",
        f"bad  schedule of {SCHEDULED}: every-minute is switched off: switch it on in the UI, or ",
        prefect=_said("update deployment_schedule set active = false"),
    ),
    Misconfiguration(
        "no runner was ever started",
        f"bad  runner of {SCHEDULED}: none has ever asked for its runs: start `smsretry serve`, or a worker",
        prefect=_said("update deployment set last_polled = null"),
    ),
    Misconfiguration(
        "the runner is gone",
        f"bad  runner of {SCHEDULED}: none has asked for its runs for 1 h 1 min: start ",
        prefect=_said(f"update deployment set last_polled = last_polled - {_HOUR}"),
    ),
    Misconfiguration(
        "no run completes any more",
        f"bad  last completed run of {SCHEDULED}: was 1 h 1 min ago; the newest one ended Failed: Stopped sending: ",
        prefect=_long_ago,
    ),
    Misconfiguration(
        "late runs pile up",
        f"bad  late runs of {SCHEDULED}: 2 wait for a runner that asks for them and starts none: are its five ",
        prefect=_late,
    ),
    Misconfiguration(
        "a run that died is still Running",
        f"bad  runs of {SCHEDULED} that do not end: 1 have been Running for more than 15 min",
        prefect=_zombie,
    ),
    *OUTSIDE,
    *(Misconfiguration(one.what, one.line, database=one.database, each=12) for one in (*PLANTED, *TOLD_ELSEWHERE)),
)  # fmt: skip

_MENDED: Final = """
alter table if exists public.old_queue rename to sms_retry_queue;
grant service_role to authenticator;
grant usage on schema public to public, service_role;
drop function if exists public.end_sms_retry(uuid);
drop function if exists public.refuse cascade;
drop function if exists public.harmless cascade;
drop publication if exists everything;
do $$ begin
    if to_regclass('public.sms_retry_queue') is not null then
        drop policy if exists anything on public.sms_retry_queue;
    end if;
end $$;
alter role authenticator reset all;
alter role authenticator nosuperuser connection limit -1 valid until 'infinity';
alter role anon nologin;
grant execute on function pg_catalog.gen_random_uuid() to public;
drop view if exists public.leak;
drop table if exists public.earlier;
drop index if exists public.half_made;
drop policy if exists anything on public.customers;
alter table if exists smsretry.runs drop column if exists campaign;
alter table if exists public.sms_send_attempts drop column if exists whose;
revoke service_role, postgres from anon;
alter role authenticated nobypassrls;
alter table send_logs enable row level security;
alter table customers add column if not exists phone_status text;
alter table sms_retry_queue alter column status set default 'pending';
alter table send_logs alter column status set default 'pending', drop column if exists campaign;
alter role service_role bypassrls;
do $$
begin
    if to_regclass('public.scheduled_sends') is not null then
        drop policy if exists "Owners read their scheduled sends" on public.scheduled_sends;
        create policy "Owners read their scheduled sends" on public.scheduled_sends for select to authenticated
            using (business_id in (select b.id from public.businesses b where b.user_id = (select auth.uid())));
    end if;
end
$$;
"""
"""What `smsretry migrate --again` does not bring back, as the lines say it."""


LATE: Final = 0.1
"""Seconds by which answers are late that are slow, and as many are called slow then."""


@dataclass(frozen=True)
class Ward:
    """An installation that is in order, and the doctor who looks at it."""

    stack: Stack
    at_prefect: Registry | None
    """None: there is no Prefect server, for what needs none."""
    home: Path
    start_closed: Callable[[], PrefectServer]
    """Once: see `closed`."""
    running: ExitStack

    @property
    def registry(self) -> Registry:
        """What stands at the Prefect server."""
        assert self.at_prefect, "This ward has no Prefect server"
        return self.at_prefect

    @cached_property
    def closed(self) -> PrefectServer:
        """A second Prefect server on the same database, which asks for AUTH_STRING; started when it is needed."""
        return self.start_closed()

    @cached_property
    def elsewhere(self) -> str:
        """The address of a web server that is not what somebody thinks; started when it is needed."""
        app = elsewhere(lambda: self.registry.prefect.server.url, seconds=lambda: LATE)
        return self.running.enter_context(LocalServer(app)).url

    def doctor(self, variables: Mapping[str, str | None], *options: str) -> str:
        """What it says, with settings that are right but for these; None takes one away."""
        right = {**self.stack.environment(), "PREFECT_HOME": str(self.home)}
        if self.at_prefect:
            right["PREFECT_API_URL"] = self.at_prefect.api_url
        with pytest.MonkeyPatch.context() as environment:
            forget_settings(environment)
            environment.delenv("COLUMNS", raising=False)
            for name, value in {**right, **variables}.items():
                if value is not None:
                    environment.setenv(name, self._placed(value))
            return CliRunner().invoke(app, ["doctor", *options]).output

    def _placed(self, value: str) -> str:
        if not self.at_prefect:
            return value.replace(HOME, str(self.home))
        opened = self.registry.prefect.server.url
        if CLOSED in value:
            return value.replace(CLOSED, self.closed.url)
        if ELSEWHERE in value:
            return value.replace(ELSEWHERE, self.elsewhere)
        placed = value.replace(OPEN, opened).replace("{open at 0.0.0.0}", opened.replace("127.0.0.1", "0.0.0.0"))
        return placed.replace(HOME, str(self.home))

    @contextmanager
    def planted(self, one: Misconfiguration) -> Iterator[None]:
        """Something is not as it should be; then the advice is followed, and all is as it was."""
        self.stack.set_clock(datetime.now(UTC))
        with self.stack.connect() as connection, pytest.MonkeyPatch.context() as patched:
            connection.execute(
                """insert into smsretry.runs (id, started_at, finished_at, told)
                   select gen_random_uuid(), smsretry.clock(), smsretry.clock(), 'idle'"""
            )
            connection.execute(one.database.encode())
            if one.prefect:
                one.prefect(self.registry)
            if one.stack:
                one.stack(self.stack)
            if one.slow:
                patched.setattr(answering, "SLOW", LATE)
                self.stack.rpc_faults.seconds_each = LATE if one.slow == "Supabase" else 0.0
                self.stack.twilio.seconds_of_any = LATE if one.slow == "Twilio" else 0.0
            for name, content in one.files.items():
                (self.home / name).write_text(content)
            yield
            self._mend(one, connection)

    def _mend(self, one: Misconfiguration, connection: Connection[Any]) -> None:
        for name in one.files:
            (self.home / name).unlink()
        if one.database:
            connection.execute(_MENDED)
            if "alter role authenticator" in one.database:
                connection.execute(CONNECT_ANEW)
            for statement in restoring_statements(connection):
                connection.execute(statement.encode())
            if not is_as_installed(connection):
                migrate(self.stack.database_url, again=True)
                connection.execute(files("smsretry.local.postgres").joinpath("movable_clock.sql").read_bytes())
            connection.execute("notify pgrst, 'reload schema'")
        if one.prefect:
            self.registry.all_well()
        self.stack.twilio.accounts.forget_others()
        self.stack.twilio.clock_ahead = timedelta(0)
        self.stack.twilio.seconds_of_any = self.stack.rpc_faults.seconds_each = 0.0
        self.stack.set_clock(datetime.now(UTC))
        connection.execute(EMPTY)


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def main() -> int:
    """Print the table. 1: one was not named."""
    silent = 0
    with tempfile.TemporaryDirectory() as directory, ExitStack() as running:
        home = Path(directory)
        home.chmod(0o755)  # PostgreSQL runs as somebody else where this is root
        stack = running.enter_context(Stack(home))
        server = running.enter_context(PrefectServer(home / "open", stack.postgres))
        closed = PrefectServer(home / "closed", stack.postgres, auth_string=AUTH_STRING)
        registry = Registry(Prefect(server), stack)
        ward = Ward(stack, registry, _folder(home / "own"), lambda: running.enter_context(closed), running)
        ward.registry.all_well()
        for one in MISCONFIGURATIONS:
            with ward.planted(one):
                said = [line for line in ward.doctor(one.environment).splitlines() if one.line in line]
            silent += not said
            sys.stdout.write(f"| {one.what} | {' '.join(said[0].split()) if said else 'NOTHING'} |\n")
    sys.stdout.write(f"{len(MISCONFIGURATIONS)} planted, {len(MISCONFIGURATIONS) - silent} named\n")
    return 1 if silent else 0


if __name__ == "__main__":
    raise SystemExit(main())
