"""What a clumsy neighbor or an attacker does to the database, and how the doctor's line about it begins."""

from typing import Final, NamedTuple

AGAIN: Final = "run `smsretry migrate`, with --again if it was applied before"

CONNECT_ANEW: Final = (
    "select pg_terminate_backend(pid) from pg_stat_activity "
    "where usename = 'authenticator' and datname = current_database()"
)
"""Or what is set for a role would not be felt."""


class Planted(NamedTuple):
    """One thing that was changed by hand."""

    what: str
    line: str
    database: str


_BEGIN: Final = (
    "uuid,bigint,uuid,timestamp with time zone,text,timestamp with time zone,integer,timestamp with time zone,bytea"
)
_CHANGED: Final = "another version's, or somebody changed it"
_OF_BEGIN: Final = f"{AGAIN} (schemas/worker/begin_sms_attempt.sql)"
_EACH_BEGIN: Final = """
do $$
declare
    version regprocedure;
begin
    for version in select oid from pg_proc where proname = 'begin_sms_attempt' loop
        execute format('alter function %s {}', version);
    end loop;
end
$$
"""
_OF_SERVICE: Final = "may be called by "
_ATTEMPTS_KEY: Final = "FOREIGN KEY (retry_id) REFERENCES public.sms_retry_queue(id) ON DELETE CASCADE"
_LEASE: Final = "CHECK (((status <> 'processing'::text) OR (claimed_at IS NOT NULL)))"

PLANTED: Final = (
    Planted(
        "begin runs with its owner's rights",
        f"bad  function begin_sms_attempt: security is definer, and must be invoker: {_OF_BEGIN}",
        _EACH_BEGIN.format("security definer"),
    ),
    Planted(
        "begin looks up names where anybody may put some",
        "bad  function begin_sms_attempt: settings is search_path=public; lock_timeout=2s; "
        "random_page_cost=0.1, and must be search_path=pg_catalog, pg_temp; lock_timeout=2s; "
        f"random_page_cost=0.1: {_OF_BEGIN}",
        _EACH_BEGIN.format("set search_path = public"),
    ),
    Planted(
        "begin is said to be immutable",
        "bad  function begin_sms_attempt: kind is plpgsql f i parallel u cost 100 rows ",
        _EACH_BEGIN.format("immutable"),
    ),
    Planted(
        "a function has a second version with other parameters",
        "bad  function claim_due_sms_retries: exists also as public.claim_due_sms_retries(bigint), which is not "
        "smsretry's. "
        "Run: drop function public.claim_due_sms_retries(bigint)",
        "create function public.claim_due_sms_retries(n bigint) returns int language sql as 'select 1'",
    ),
    Planted(
        "a function belongs to another role",
        "bad  function smsretry.fenced(uuid,bigint): belongs to authenticator, and the rest of smsretry to "
        "postgres. Run: "
        "alter function smsretry.fenced(uuid,bigint) owner to postgres",
        """do $$ begin
            execute format('alter function %s owner to authenticator',
                           (select oid::regprocedure from pg_proc where proname = 'fenced'));
        end $$""",
    ),
    Planted(
        "a tenant's role may call an internal function",
        f"bad  function smsretry.opt_out: {_OF_SERVICE}authenticated, service_role, and must be by service_role alone: "
        f"{AGAIN} (schemas/consent/opt_out.sql)",
        """do $$ begin
            execute format('grant execute on function %s to authenticated',
                           (select oid::regprocedure from pg_proc where proname = 'opt_out'));
        end $$""",
    ),
    Planted(
        "a trigger's function does nothing",
        f"bad  function smsretry.keep_suppression: has another body: {_CHANGED}: {AGAIN} "
        "(schemas/consent/keep_suppression",
        """create or replace function smsretry.keep_suppression() returns trigger language plpgsql security definer
           set search_path = pg_catalog, pg_temp set random_page_cost = 0.1 as 'begin return new; end'""",
    ),
    Planted(
        "a trigger calls another function",
        f"bad  trigger smsretry_before_insert of sms_retry_queue: has another definition: {_CHANGED}: {AGAIN}",
        """create function public.harmless() returns trigger language plpgsql as 'begin return new; end';
           drop trigger smsretry_before_insert on sms_retry_queue;
           create trigger smsretry_before_insert before insert on sms_retry_queue
               for each row execute function public.harmless()""",
    ),
    Planted(
        "a trigger fires for some columns alone",
        f"bad  trigger smsretry_keep_suppression of customers: has another definition: {_CHANGED}: {AGAIN}",
        """drop trigger smsretry_keep_suppression on customers;
           create trigger smsretry_keep_suppression after insert or update of phone on customers
               for each row execute function smsretry.keep_suppression()""",
    ),
    Planted(
        "a trigger of consent fires for replicas alone",
        "bad  trigger smsretry_keep_suppression of customers: fires for replicas alone. Run: alter table "
        "public.customers "
        "enable trigger smsretry_keep_suppression",
        "alter table customers enable replica trigger smsretry_keep_suppression",
    ),
    Planted(
        "no trigger fires at all",
        "bad  settings of a request: session_replication_role is replica, so triggers and foreign keys do nothing. "
        "Run: ",
        f"alter role authenticator set session_replication_role = replica; {CONNECT_ANEW}",
    ),
    Planted(
        "a constraint says nothing any more",
        "bad  constraint sms_retry_queue_lease of sms_retry_queue: definition is CHECK (true), and must be "
        f"{_LEASE}. Run: alter table public.sms_retry_queue drop constraint sms_retry_queue_lease, add constraint "
        f"sms_retry_queue_lease {_LEASE}",
        "alter table sms_retry_queue drop constraint sms_retry_queue_lease, "
        "add constraint sms_retry_queue_lease check (true)",
    ),
    Planted(
        "a constraint was never validated",
        "bad  constraint sms_send_attempts_private of sms_send_attempts: is not validated, so rows may break it. "
        "Run: alter table "
        "public.sms_send_attempts validate constraint sms_send_attempts_private",
        """do $$
        declare
            rule constant text := (select pg_get_constraintdef(oid) from pg_constraint
                                   where conname = 'sms_send_attempts_private');
        begin
            alter table sms_send_attempts drop constraint sms_send_attempts_private;
            execute 'alter table sms_send_attempts add constraint sms_send_attempts_private ' || rule || ' not valid';
        end $$""",
    ),
    Planted(
        "a foreign key is gone",
        "bad  constraint sms_send_attempts_retry_id_fkey of sms_send_attempts: is missing. Run: alter table "
        f"public.sms_send_attempts add constraint sms_send_attempts_retry_id_fkey {_ATTEMPTS_KEY}",
        "alter table sms_send_attempts drop constraint sms_send_attempts_retry_id_fkey",
    ),
    Planted(
        "a foreign key to the application's table is gone",
        "warn constraint sms_retry_queue_business_id_fkey of sms_retry_queue: is missing. Run: alter table ",
        "alter table sms_retry_queue drop constraint sms_retry_queue_business_id_fkey",
    ),
    Planted(
        "a foreign key is switched off",
        "bad  constraint sms_send_attempts_retry_id_fkey of sms_send_attempts: is switched off. Run: alter table "
        'public.sms_send_attempts enable trigger "RI_ConstraintTrigger_',
        """do $$
        declare
            kept_by name;
        begin
            for kept_by in select tgname from pg_trigger
                           where tgisinternal and tgrelid = 'sms_send_attempts'::regclass loop
                execute format('alter table sms_send_attempts disable trigger %I', kept_by);
            end loop;
        end $$""",
    ),
    Planted(
        "a unique key is gone",
        "bad  constraint sms_send_attempts_one_per_claim of sms_send_attempts: is missing. Run: alter table ",
        "alter table sms_send_attempts drop constraint sms_send_attempts_one_per_claim",
    ),
    Planted(
        "the other side of a foreign key is switched off",
        "bad  constraint steps_retry_id_fkey of smsretry.steps: is switched off. Run: alter table "
        "public.sms_retry_queue ",
        """do $$ begin
            execute (select format('alter table %s disable trigger %I', t.tgrelid::regclass, t.tgname)
                     from pg_trigger t join pg_constraint k on k.oid = t.tgconstraint
                     where k.conname = 'steps_retry_id_fkey' and t.tgrelid = k.confrelid limit 1);
        end $$""",
    ),
    Planted(
        "a customer may have but one text",
        "warn index one_each of sms_retry_queue: refuses texts that are alike, unless that is meant. Run: drop index "
        "public.one_each",
        "create unique index one_each on sms_retry_queue (customer_id)",
    ),
    Planted(
        "a column is sorted otherwise",
        'bad  column sender of smsretry.sender_time: type is text collate "C", and must be text. Run: alter table ',
        'alter table smsretry.sender_time alter column sender type text collate "C"',
    ),
    Planted(
        "a column has another default",
        "bad  column message_class of sms_retry_queue: default is 'transactional'::text, and must be "
        "'marketing'::text. Run: alter table public.sms_retry_queue alter column message_class set default "
        "'marketing'::text",
        "alter table sms_retry_queue alter column message_class set default 'transactional'",
    ),
    Planted(
        "a column of a shared table has another default",
        "bad  column message_class of scheduled_sends: default is 'transactional'::text, and must be "
        "'marketing'::text. ",
        "alter table scheduled_sends alter column message_class set default 'transactional'",
    ),
    Planted(
        "a column must have a value that it has not",
        "bad  column held_since of sms_retry_queue: may not be null. Run: alter table public.sms_retry_queue alter "
        "column "
        "held_since drop not null",
        "alter table sms_retry_queue alter column held_since set not null",
    ),
    Planted(
        "a column may be null",
        "bad  column scheduled_for of sms_retry_queue: may be null. Run: alter table "
        "public.sms_retry_queue alter column scheduled_for set not null",
        "alter table sms_retry_queue alter column scheduled_for drop not null",
    ),
    Planted(
        "a column has another type",
        "bad  column delivery_looks of sms_send_attempts: type is bigint, and must be integer. Run: alter table "
        "public.sms_send_attempts alter column delivery_looks drop default, alter column delivery_looks type "
        "integer using "
        "delivery_looks::integer, alter column delivery_looks set default 0",
        "alter table sms_send_attempts alter column delivery_looks type bigint",
    ),
    Planted(
        "a unique index is an ordinary one",
        "bad  index sms_retry_queue_one_live_row of sms_retry_queue: has another definition: another version's, or "
        "somebody "
        "changed it. Run: drop index public.sms_retry_queue_one_live_row; then `smsretry migrate --again`",
        "drop index sms_retry_queue_one_live_row; "
        "create index sms_retry_queue_one_live_row on sms_retry_queue (send_log_id)",
    ),
    Planted(
        "an index is invalid",
        "bad  index sms_retry_queue_next of sms_retry_queue: is not valid. Run: drop index "
        "public.sms_retry_queue_next; "
        "then `smsretry migrate --again`",
        "update pg_index set indisvalid = false where indexrelid = 'sms_retry_queue_next'::regclass",
    ),
    Planted(
        "a policy lets every tenant queue",
        f"bad  policy Owners queue retries of their texts of sms_retry_queue: has another definition: {_CHANGED}",
        'alter policy "Owners queue retries of their texts" on sms_retry_queue with check (true)',
    ),
    Planted(
        "row level security of our table is off",
        "bad  table sms_send_attempts: has row level security off. Run: alter table public.sms_send_attempts "
        "enable row level security",
        "alter table sms_send_attempts disable row level security",
    ),
    Planted(
        "the owner is bound by row level security, too",
        "bad  table sms_retry_queue: has row level security forced, so it binds its owner, too. Run: alter table "
        "public.sms_retry_queue no force row ",
        "alter table sms_retry_queue force row level security",
    ),
    Planted(
        "a table is lost in a crash",
        "bad  table smsretry.stopped_consents: is unlogged, so a crash empties it. Run: alter table "
        "smsretry.stopped_consents "
        "set logged",
        "alter table smsretry.stopped_consents set unlogged",
    ),
    Planted(
        "the queue is never vacuumed",
        "bad  table sms_retry_queue: options is ",
        "alter table sms_retry_queue set (autovacuum_enabled = false)",
    ),
    Planted(
        "a view shows everything to whoever may read it",
        "bad  view smsretry.text_on_record: options is not set, and must be security_invoker=true: "
        f"{AGAIN} (schemas/records/text_on_record.sql)",
        "alter view smsretry.text_on_record reset (security_invoker)",
    ),
    Planted(
        "a view was changed",
        f"bad  view smsretry.scheduled_claim: has another definition: {_CHANGED}: {AGAIN} "
        "(schemas/views/scheduled_claim.sql)",
        """do $$
        begin
            execute 'create or replace view smsretry.scheduled_claim with (security_invoker = true) as '
                || replace(pg_get_viewdef('smsretry.scheduled_claim'::regclass),
                           '''scheduled''::text', '''queued''::text');
        end $$""",
    ),
    Planted(
        "a view has one more column",
        f"bad  view smsretry.scheduled_on_record: has another definition: {_CHANGED}: {AGAIN} (schemas/records/",
        """do $$
        begin
            execute regexp_replace(
                'create or replace view smsretry.scheduled_on_record with (security_invoker = true) as '
                || pg_get_viewdef('smsretry.scheduled_on_record'::regclass),
                E'\\n   FROM', ', 1 as one\n   FROM');
        end $$""",
    ),
    Planted(
        "a function answers otherwise",
        f"bad  function count_sms_answer: has another body: {_CHANGED}, ",
        """drop function count_sms_answer(integer);
           create function public.count_sms_answer(row_count integer default null) returns setof bigint
           language sql as 'select generate_series(1, 1000000)::bigint limit 2000'""",
    ),
    Planted(
        "anon may read the attempts",
        f"bad  grants on sms_send_attempts: anon is granted select, and must not be: {AGAIN}",
        "grant select on sms_send_attempts to anon",
    ),
    Planted(
        "a tenant may set a column that is not its own",
        "bad  grants on sms_retry_queue: authenticated is granted update of attempt_count, and must not be: ",
        "grant update (attempt_count) on sms_retry_queue to authenticated",
    ),
    Planted(
        "everybody may look into the schema",
        "bad  grants on smsretry: anon is granted usage, and must not be: ",
        "grant usage on schema smsretry to anon",
    ),
    Planted(
        "anon may do what the service may",
        "bad  role anon: may do all that service_role may. Run: revoke service_role from anon",
        "grant service_role to anon",
    ),
    Planted(
        "anon may do what the owner may",
        "bad  role anon: may do all that postgres may. Run: revoke postgres from anon",
        "grant postgres to anon",
    ),
    Planted(
        "authenticated sees everybody's rows",
        "bad  role authenticated: is not bound by row level security, so it sees everybody's rows. Run: alter role ",
        "alter role authenticated bypassrls",
    ),
    Planted(
        "a rule swallows attempts",
        "bad  rule nothing of sms_send_attempts: replaces what is written. Run: drop rule nothing on "
        "public.sms_send_attempts",
        "create rule nothing as on delete to sms_send_attempts do instead nothing",
    ),
    Planted(
        "a publication carries numbers out of the database",
        "warn publication everything of sms_send_attempts: carries sms_send_attempts out of the database, unless "
        "that is "
        "meant. Run: alter publication everything drop table public.sms_send_attempts",
        "create publication everything for table sms_send_attempts",
    ),
    Planted(
        "calls give up as soon as somebody waits",
        "bad  settings of a request: lock_timeout is 1ms, so a call gives up as soon as somebody else holds a row. "
        "Run: ",
        f"alter role authenticator set lock_timeout = '1ms'; {CONNECT_ANEW}",
    ),
    Planted(
        "larger claims are broken off",
        "bad  settings of a request: statement_timeout is 3s, so a larger claim is broken off. Run: ",
        f"alter role authenticator set statement_timeout = '3s'; {CONNECT_ANEW}",
    ),
    Planted(
        "a commit may be forgotten",
        "bad  settings of a request: synchronous_commit is off, so a crash may forget that a text went out, ",
        f"alter role authenticator set synchronous_commit = off; {CONNECT_ANEW}",
    ),
    Planted(
        "no index is used",
        "bad  settings of a request: enable_indexscan is off, so each claim reads the whole queue. Run: ",
        f"alter role authenticator set enable_indexscan = off; {CONNECT_ANEW}",
    ),
    Planted(
        "tenants get errors",
        "bad  settings of a request: row_security is off, so whoever is signed in gets an error and not the rows",
        f"alter role authenticator set row_security = off; {CONNECT_ANEW}",
    ),
    Planted(
        "the API's login may do everything",
        "bad  role authenticator: may do everything, and nothing that is forbidden holds for it. Run: alter role "
        "authenticator",
        f"alter role authenticator superuser; {CONNECT_ANEW}",
    ),
    Planted(
        "anon may log in",
        "bad  role anon: may log in by itself, without a key. Run: alter role anon nologin",
        "alter role anon login",
    ),
    Planted(
        "a column must be given that smsretry does not know",
        "bad  column campaign of smsretry.runs: may not be null, and smsretry does not fill it. Run: alter table "
        "smsretry.runs alter column campaign drop not null",
        "alter table smsretry.runs add column campaign text not null default 'x'; alter table smsretry.runs alter "
        "column campaign drop default",
    ),
    Planted(
        "a constraint refuses runs",
        "warn constraint none of smsretry.runs: may refuse what smsretry writes, unless that is meant. Run: alter "
        "table smsretry.runs drop constraint none",
        "alter table smsretry.runs add constraint none check (told <> 'idle') not valid",
    ),
    Planted(
        "a foreign key of the attempts is not smsretry's",
        "warn constraint whose of sms_send_attempts: may refuse what smsretry writes, unless that is meant. Run: "
        "alter table public.sms_send_attempts drop constraint whose",
        "alter table sms_send_attempts add column whose uuid constraint whose references businesses",
    ),
    Planted(
        "a trigger swallows opt-outs",
        "warn trigger swallow of smsretry.suppressions: acts on what smsretry writes, unless that is meant. Run: "
        "drop trigger swallow on smsretry.suppressions",
        "create function public.harmless() returns trigger language plpgsql as 'begin return null; end'; create "
        "trigger swallow before insert on smsretry.suppressions for each row execute function public.harmless()",
    ),
    Planted(
        "a table inherits from the queue",
        "bad  child public.earlier of sms_retry_queue: is a part of sms_retry_queue now: its rows count as texts, "
        "and no key holds",
        "create table public.earlier () inherits (sms_retry_queue)",
    ),
    Planted(
        "an index was left half made",
        "bad  index half_made of sms_retry_queue: is not valid. Run: reindex index public.half_made",
        "create index half_made on sms_retry_queue (id); update pg_index set indisvalid = false where indexrelid = "
        "'half_made'::regclass",
    ),
    Planted(
        "a key's index is invalid",
        "bad  index sms_send_attempts_pkey of sms_send_attempts: is not valid. Run: reindex index "
        "public.sms_send_attempts_pkey",
        "update pg_index set indisvalid = false where indexrelid = 'sms_send_attempts_pkey'::regclass",
    ),
    Planted(
        "opt-outs have another key",
        "bad  key of the hashed numbers: is not the one with which opt-outs were recorded, so nobody who opted out is ",
        "with b as (insert into businesses (id, user_id, name, timezone) values (gen_random_uuid(), "
        "gen_random_uuid(), 'Maple Street', 'America/New_York') returning id) insert into customers (id, "
        "business_id, phone, sms_consent_status) select gen_random_uuid(), b.id, '+1212555012' || n, 'opted_out' "
        "from b, generate_series(1, 5) n; update smsretry.secret set key = sha256(key)",
    ),
)  # fmt: skip
"""What the catalog's lines and those about access tell."""
