-- Where the application has an sms_retry_queue already: bring the table and its rows to what schemas/13_sms_retry_queue.sql
-- says. Written by hand, as `create table if not exists` changes nothing there. A new database has nothing to adopt.

-- `supabase db push` keeps each file that went through. So what the next file cannot work with stops this one, before
-- anything of the application's is changed: columns that are missing or of another type. A null: any type will do.
do $$
declare
    v_misfits text;
begin
    select string_agg(distinct case when c.relkind in ('r', 'p') then w.relation || '.' || w.name else w.relation end, ', ')
    into v_misfits
    from (values
        ('businesses', 'id', 'uuid'), ('businesses', 'user_id', 'uuid'), ('businesses', 'timezone', null),
        ('customers', 'id', 'uuid'), ('customers', 'business_id', 'uuid'), ('customers', 'phone', null),
        ('customers', 'phone_status', 'text'), ('customers', 'timezone', null),
        ('customers', 'sms_consent_status', 'text'), ('customers', 'sms_consent_at', 'timestamp with time zone'),
        ('customers', 'sms_consent_source', 'text'),
        ('send_logs', 'id', 'uuid'), ('send_logs', 'business_id', 'uuid'), ('send_logs', 'customer_id', 'uuid'),
        ('send_logs', 'channel', null), ('send_logs', 'subject', null), ('send_logs', 'status', 'text'),
        ('send_logs', 'error_message', 'text'), ('send_logs', 'provider_message_id', 'jsonb'),
        ('send_logs', 'created_at', 'timestamp with time zone'),
        ('send_logs', 'updated_at', 'timestamp with time zone'),
        ('scheduled_sends', 'id', 'uuid'), ('scheduled_sends', 'business_id', 'uuid'),
        ('scheduled_sends', 'scheduled_for', 'timestamp with time zone'), ('scheduled_sends', 'status', 'text'),
        ('sms_retry_queue', 'id', 'uuid'), ('sms_retry_queue', 'business_id', 'uuid'),
        ('sms_retry_queue', 'send_log_id', 'uuid'), ('sms_retry_queue', 'customer_id', 'uuid'),
        ('sms_retry_queue', 'status', 'text'), ('sms_retry_queue', 'attempt_count', 'integer'),
        ('sms_retry_queue', 'max_attempts', 'integer'),
        ('sms_retry_queue', 'scheduled_for', 'timestamp with time zone'),
        ('sms_retry_queue', 'last_attempted_at', 'timestamp with time zone'),
        ('sms_retry_queue', 'last_error', 'text'), ('sms_retry_queue', 'reason', 'text'),
        ('sms_retry_queue', 'created_at', 'timestamp with time zone'),
        ('sms_retry_queue', 'updated_at', 'timestamp with time zone')
    ) as w (relation, name, type)
    join pg_catalog.pg_class c on c.relname = w.relation and c.relnamespace = 'public'::regnamespace
        and c.relkind in ('r', 'p', 'v', 'm', 'f')
    left join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attname = w.name and not a.attisdropped
    where c.relkind not in ('r', 'p') or a.attname is null
       or format_type(a.atttypid, null) <> w.type
          and not (w.type = 'text' and w.relation <> 'sms_retry_queue'
                   and format_type(a.atttypid, null) = 'character varying');
    if v_misfits is not null then
        raise exception 'Some of what is in this database does not fit: %', v_misfits
            using hint = 'Nothing was changed. Run `smsretry migrate`, which says of each what to do.';
    end if;
end
$$;

do $$
begin
    if to_regclass('public.sms_retry_queue') is null then
        return;
    end if;
    if exists (select 1 from public.sms_retry_queue where business_id is null) then
        raise exception 'sms_retry_queue holds rows without business_id'
            using hint = 'Give each a business_id or delete it, then migrate again: the claim is fair between businesses and would never reach such a row.';
    end if;
    -- A null in one of these would hide its row from the claim, or break the claim of every other.
    update public.sms_retry_queue
    set attempt_count = coalesce(attempt_count, 0),
        max_attempts = coalesce(max_attempts, 3),
        scheduled_for = coalesce(scheduled_for, created_at, now())
    where attempt_count is null or max_attempts is null or scheduled_for is null;
end
$$;

alter table if exists public.sms_retry_queue
    alter column business_id set not null,
    alter column attempt_count set default 0,
    alter column attempt_count set not null,
    alter column max_attempts set default 3,
    alter column max_attempts set not null,
    alter column scheduled_for set not null,
    add column if not exists claim_no bigint not null default 0,
    add column if not exists claimed_at timestamptz,
    add column if not exists begun_at timestamptz,
    add column if not exists attempt_id uuid,
    add column if not exists in_doubt_since timestamptz,
    add column if not exists reconcile_count integer not null default 0,
    add column if not exists reconciled_claim_no bigint,
    add column if not exists recover_count integer not null default 0,
    add column if not exists rate_limit_count integer not null default 0,
    add column if not exists error_code integer,
    add column if not exists message_class text not null default 'marketing',
    add column if not exists why text,
    add column if not exists account_refusal_count integer not null default 0,
    add column if not exists held_since timestamptz,
    add column if not exists claimed_by_application boolean not null default false,
    add column if not exists expires_at timestamptz,
    add column if not exists window_closes_at timestamptz;

-- Values that no worker could read, such as infinity or an error of megabytes, and counts beyond all bounds.
do $$
declare
    v_first constant timestamptz := '2000-01-01 00:00+00';
    v_last constant timestamptz := '2100-01-01 00:00+00';
    v_rows bigint;
begin
    if to_regclass('public.sms_retry_queue') is null then
        return;
    end if;
    update public.sms_retry_queue q
    set status = case when q.scheduled_for > v_last and q.status = 'pending' then 'cancelled' else q.status end,
        last_error = left(case when q.scheduled_for > v_last and q.status = 'pending'
                               then 'scheduled_for was beyond the year 2100' else q.last_error end, 2000),
        scheduled_for = case when q.scheduled_for between v_first and v_last then q.scheduled_for else smsretry.clock() end,
        created_at = case when q.created_at between v_first and v_last then q.created_at else smsretry.clock() end,
        updated_at = case when q.updated_at between v_first and v_last then q.updated_at else smsretry.clock() end,
        last_attempted_at = case when q.last_attempted_at between v_first and v_last then q.last_attempted_at end,
        expires_at = case when q.expires_at between v_first and v_last then q.expires_at end,
        attempt_count = least(greatest(q.attempt_count, 0), 1000),
        max_attempts = least(greatest(q.max_attempts, 1), 1000)
    where not (q.scheduled_for between v_first and v_last)
       or not (q.created_at between v_first and v_last)
       or not (q.updated_at between v_first and v_last)
       or not (q.last_attempted_at between v_first and v_last)
       or not (q.expires_at between v_first and v_last)
       or length(q.last_error) > 2000
       or q.attempt_count not between 0 and 1000 or q.max_attempts not between 1 and 1000;
    get diagnostics v_rows = row_count;
    if v_rows > 0 then
        raise warning '% rows of sms_retry_queue had values that cannot be: times were set to now, errors cut to 2000 characters', v_rows;
    end if;
end
$$;

alter table if exists public.sms_retry_queue
    set (fillfactor = 80, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

do $$
declare
    rule record;
begin
    if to_regclass('public.sms_retry_queue') is null then
        return;
    end if;

    -- An old worker's claims: whether their texts went out is unknown, so they are begun, and recovery puts them in doubt.
    -- The last migration of this set writes their attempts, when there is a table for them.
    update public.sms_retry_queue q
    set claim_no = 1,
        claimed_at = coalesce(q.last_attempted_at, q.updated_at, smsretry.clock()),
        begun_at = coalesce(q.last_attempted_at, q.updated_at, smsretry.clock()),
        attempt_id = gen_random_uuid()
    where q.status = 'processing' and q.claimed_at is null;

    -- One live row a text. Of duplicates the one furthest along stays, then the one due first. Another one that may have
    -- been sent keeps its attempt's id and time until the attempt is written.
    update public.sms_retry_queue q
    set status = 'cancelled',
        last_error = 'Duplicate of row ' || ranked.kept || ': one live row a text',
        begun_at = null,
        updated_at = smsretry.clock()
    from (
        select live.id,
               first_value(live.id) over w as kept,
               row_number() over w as place
        from public.sms_retry_queue live
        where live.status in ('pending', 'processing') and live.send_log_id is not null
        window w as (
            partition by live.send_log_id
            order by (live.status = 'processing') desc, live.scheduled_for, live.created_at, live.id)
    ) ranked
    where ranked.id = q.id and ranked.place > 1;

    -- The state machine, with the reasons in the schema file. Added unvalidated, then validated: a row that broke a rule
    -- before there was one is reported, and must keep the rule from its next change on.
    for rule in
        select * from (values
            ('sms_retry_queue_status', $c$status in ('pending', 'processing', 'completed', 'failed', 'cancelled')$c$),
            ('sms_retry_queue_message_class', $c$message_class in ('marketing', 'transactional')$c$),
            ('sms_retry_queue_reason', $c$reason in ('quiet_hours', 'twilio_error', 'rate_limit')$c$),
            ('sms_retry_queue_attempts', $c$attempt_count between 0 and 1000 and max_attempts between 1 and 1000$c$),
            ('sms_retry_queue_instants', $c$
                scheduled_for between '2000-01-01 00:00+00' and '2100-01-01 00:00+00'
                and expires_at between '2000-01-01 00:00+00' and '2100-01-01 00:00+00'
                and window_closes_at between '2000-01-01 00:00+00' and '2100-01-01 00:00+00'
                and last_attempted_at between '2000-01-01 00:00+00' and '2100-01-01 00:00+00'
                and created_at between '2000-01-01 00:00+00' and '2100-01-01 00:00+00'
                and updated_at between '2000-01-01 00:00+00' and '2100-01-01 00:00+00'$c$),
            ('sms_retry_queue_lengths', $c$length(last_error) <= 2000 and length(why) <= 2000$c$),
            ('sms_retry_queue_held', $c$held_since is null or (status in ('pending', 'processing') and why is not null)$c$),
            ('sms_retry_queue_lease', $c$status <> 'processing' or claimed_at is not null$c$),
            ('sms_retry_queue_begun', $c$begun_at is null or (status = 'processing' and attempt_id is not null)$c$),
            ('sms_retry_queue_doubt', $c$in_doubt_since is null or (attempt_id is not null and status <> 'completed')$c$)
        ) as r (name, expression)
    loop
        execute format('alter table public.sms_retry_queue drop constraint if exists %I', rule.name);
        execute format('alter table public.sms_retry_queue add constraint %I check (%s) not valid', rule.name, rule.expression);
        begin
            execute format('alter table public.sms_retry_queue validate constraint %I', rule.name);
        exception when check_violation then
            raise warning 'sms_retry_queue holds rows that break %: %', rule.name, rule.expression
                using hint = 'Find them with: select id from sms_retry_queue where not (' || rule.expression || ')';
        end;
    end loop;
end
$$;

-- Older policies let tenants update queue rows, claim number and attempts included.
do $$
declare
    old record;
begin
    for old in
        select p.tablename, p.policyname from pg_catalog.pg_policies p
        where p.schemaname = 'public' and p.tablename in ('sms_retry_queue', 'sms_send_attempts')
    loop
        execute format('drop policy %I on public.%I', old.policyname, old.tablename);
    end loop;
end
$$;

-- The calls that an installation may have made for itself: their answers differ, and the type of a function's answer
-- cannot be replaced. Ours are known by their search_path and stay.
do $$
declare
    old regprocedure;
begin
    for old in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'public'::regnamespace
          and p.proname in ('claim_due_sms_retries', 'recover_stuck_sms_retries', 'queue_sms_retry')
          and not coalesce('search_path=pg_catalog, pg_temp' = any (p.proconfig), false)
    loop
        execute format('drop function %s', old);
    end loop;
end
$$;
