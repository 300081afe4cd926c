-- ======== drop smsretry.take ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'smsretry'::regnamespace and p.proname = 'take'
    loop
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== drop smsretry.mark_customer ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'smsretry'::regnamespace and p.proname = 'mark_customer'
    loop
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== drop smsretry.send_again ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'smsretry'::regnamespace and p.proname = 'send_again'
    loop
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== drop public.record_inbound_sms ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'public'::regnamespace and p.proname = 'record_inbound_sms'
    loop
        -- Whom an owner lets call it: schemas/rights/public_functions.sql grants it to them again.
        perform set_config('smsretry.granted_record_inbound_sms', array_agg(distinct g.grantee::regrole)::text, false)
        from pg_catalog.pg_proc p cross join pg_catalog.aclexplode(p.proacl) g
        where p.oid = version and g.grantee not in (0, p.proowner)
          and g.grantee::regrole::text not in ('anon', 'authenticated', 'service_role')
        having count(*) > 0;
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== drop public.claim_due_sms_retries ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'public'::regnamespace and p.proname = 'claim_due_sms_retries'
    loop
        -- Whom an owner lets call it: schemas/rights/public_functions.sql grants it to them again.
        perform set_config('smsretry.granted_claim_due_sms_retries', array_agg(distinct g.grantee::regrole)::text, false)
        from pg_catalog.pg_proc p cross join pg_catalog.aclexplode(p.proacl) g
        where p.oid = version and g.grantee not in (0, p.proowner)
          and g.grantee::regrole::text not in ('anon', 'authenticated', 'service_role')
        having count(*) > 0;
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== drop public.claim_sms_retry ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'public'::regnamespace and p.proname = 'claim_sms_retry'
    loop
        -- Whom an owner lets call it: schemas/rights/public_functions.sql grants it to them again.
        perform set_config('smsretry.granted_claim_sms_retry', array_agg(distinct g.grantee::regrole)::text, false)
        from pg_catalog.pg_proc p cross join pg_catalog.aclexplode(p.proacl) g
        where p.oid = version and g.grantee not in (0, p.proowner)
          and g.grantee::regrole::text not in ('anon', 'authenticated', 'service_role')
        having count(*) > 0;
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== drop public.claim_suspect_sms_retry ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'public'::regnamespace and p.proname = 'claim_suspect_sms_retry'
    loop
        -- Whom an owner lets call it: schemas/rights/public_functions.sql grants it to them again.
        perform set_config('smsretry.granted_claim_suspect_sms_retry', array_agg(distinct g.grantee::regrole)::text, false)
        from pg_catalog.pg_proc p cross join pg_catalog.aclexplode(p.proacl) g
        where p.oid = version and g.grantee not in (0, p.proowner)
          and g.grantee::regrole::text not in ('anon', 'authenticated', 'service_role')
        having count(*) > 0;
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== drop public.next_sms_due ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'public'::regnamespace and p.proname = 'next_sms_due'
    loop
        -- Whom an owner lets call it: schemas/rights/public_functions.sql grants it to them again.
        perform set_config('smsretry.granted_next_sms_due', array_agg(distinct g.grantee::regrole)::text, false)
        from pg_catalog.pg_proc p cross join pg_catalog.aclexplode(p.proacl) g
        where p.oid = version and g.grantee not in (0, p.proowner)
          and g.grantee::regrole::text not in ('anon', 'authenticated', 'service_role')
        having count(*) > 0;
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== drop public.begin_sms_attempt ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'public'::regnamespace and p.proname = 'begin_sms_attempt'
    loop
        -- Whom an owner lets call it: schemas/rights/public_functions.sql grants it to them again.
        perform set_config('smsretry.granted_begin_sms_attempt', array_agg(distinct g.grantee::regrole)::text, false)
        from pg_catalog.pg_proc p cross join pg_catalog.aclexplode(p.proacl) g
        where p.oid = version and g.grantee not in (0, p.proowner)
          and g.grantee::regrole::text not in ('anon', 'authenticated', 'service_role')
        having count(*) > 0;
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== drop public.claim_doubtful_sms_retries ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'public'::regnamespace and p.proname = 'claim_doubtful_sms_retries'
    loop
        -- Whom an owner lets call it: schemas/rights/public_functions.sql grants it to them again.
        perform set_config('smsretry.granted_claim_doubtful_sms_retries', array_agg(distinct g.grantee::regrole)::text, false)
        from pg_catalog.pg_proc p cross join pg_catalog.aclexplode(p.proacl) g
        where p.oid = version and g.grantee not in (0, p.proowner)
          and g.grantee::regrole::text not in ('anon', 'authenticated', 'service_role')
        having count(*) > 0;
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== drop public.claim_sms_deliveries ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'public'::regnamespace and p.proname = 'claim_sms_deliveries'
    loop
        -- Whom an owner lets call it: schemas/rights/public_functions.sql grants it to them again.
        perform set_config('smsretry.granted_claim_sms_deliveries', array_agg(distinct g.grantee::regrole)::text, false)
        from pg_catalog.pg_proc p cross join pg_catalog.aclexplode(p.proacl) g
        where p.oid = version and g.grantee not in (0, p.proowner)
          and g.grantee::regrole::text not in ('anon', 'authenticated', 'service_role')
        having count(*) > 0;
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== drop public.finish_sms_delivery ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'public'::regnamespace and p.proname = 'finish_sms_delivery'
    loop
        -- Whom an owner lets call it: schemas/rights/public_functions.sql grants it to them again.
        perform set_config('smsretry.granted_finish_sms_delivery', array_agg(distinct g.grantee::regrole)::text, false)
        from pg_catalog.pg_proc p cross join pg_catalog.aclexplode(p.proacl) g
        where p.oid = version and g.grantee not in (0, p.proowner)
          and g.grantee::regrole::text not in ('anon', 'authenticated', 'service_role')
        having count(*) > 0;
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== drop public.set_sms_circuit ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'public'::regnamespace and p.proname = 'set_sms_circuit'
    loop
        -- Whom an owner lets call it: schemas/rights/public_functions.sql grants it to them again.
        perform set_config('smsretry.granted_set_sms_circuit', array_agg(distinct g.grantee::regrole)::text, false)
        from pg_catalog.pg_proc p cross join pg_catalog.aclexplode(p.proacl) g
        where p.oid = version and g.grantee not in (0, p.proowner)
          and g.grantee::regrole::text not in ('anon', 'authenticated', 'service_role')
        having count(*) > 0;
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== drop public.explain_sms ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'public'::regnamespace and p.proname = 'explain_sms'
    loop
        -- Whom an owner lets call it: schemas/rights/public_functions.sql grants it to them again.
        perform set_config('smsretry.granted_explain_sms', array_agg(distinct g.grantee::regrole)::text, false)
        from pg_catalog.pg_proc p cross join pg_catalog.aclexplode(p.proacl) g
        where p.oid = version and g.grantee not in (0, p.proowner)
          and g.grantee::regrole::text not in ('anon', 'authenticated', 'service_role')
        having count(*) > 0;
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== drop public.preview_sms_retries ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'public'::regnamespace and p.proname = 'preview_sms_retries'
    loop
        -- Whom an owner lets call it: schemas/rights/public_functions.sql grants it to them again.
        perform set_config('smsretry.granted_preview_sms_retries', array_agg(distinct g.grantee::regrole)::text, false)
        from pg_catalog.pg_proc p cross join pg_catalog.aclexplode(p.proacl) g
        where p.oid = version and g.grantee not in (0, p.proowner)
          and g.grantee::regrole::text not in ('anon', 'authenticated', 'service_role')
        having count(*) > 0;
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== drop public.sms_status ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'public'::regnamespace and p.proname = 'sms_status'
    loop
        -- Whom an owner lets call it: schemas/rights/public_functions.sql grants it to them again.
        perform set_config('smsretry.granted_sms_status', array_agg(distinct g.grantee::regrole)::text, false)
        from pg_catalog.pg_proc p cross join pg_catalog.aclexplode(p.proacl) g
        where p.oid = version and g.grantee not in (0, p.proowner)
          and g.grantee::regrole::text not in ('anon', 'authenticated', 'service_role')
        having count(*) > 0;
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== drop smsretry.opt_out ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'smsretry'::regnamespace and p.proname = 'opt_out'
    loop
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== drop smsretry.take_back_stop ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'smsretry'::regnamespace and p.proname = 'take_back_stop'
    loop
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== drop smsretry.write_attempt ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'smsretry'::regnamespace and p.proname = 'write_attempt'
    loop
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== drop smsretry.texts_in_turn ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'smsretry'::regnamespace and p.proname = 'texts_in_turn'
    loop
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== drop smsretry.admit_send ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'smsretry'::regnamespace and p.proname = 'admit_send'
    loop
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== drop smsretry.businesses_of ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'smsretry'::regnamespace and p.proname = 'businesses_of'
    loop
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== drop smsretry.give_back_consent ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'smsretry'::regnamespace and p.proname = 'give_back_consent'
    loop
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== drop smsretry.mark_words_read ========
do $$
declare
    version regprocedure;
begin
    for version in
        select p.oid::regprocedure from pg_catalog.pg_proc p
        where p.pronamespace = 'smsretry'::regnamespace and p.proname = 'mark_words_read'
    loop
        execute format('drop function %s', version);
    end loop;
end
$$;

-- ======== schemas/policy/carriers_day.sql ========
-- The day of the carriers that a moment is in. "Resets at 00:00 Pacific": T-Mobile's daily limit on a brand.
create or replace function smsretry.carriers_day(at timestamptz, out begins timestamptz, out ends timestamptz)
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
    k_zone constant text := 'America/Los_Angeles';
    v_day constant timestamp := date_trunc('day', carriers_day.at at time zone k_zone);
begin
    begins := v_day at time zone k_zone;
    ends := (v_day + interval '1 day') at time zone k_zone;
end
$$;

-- ======== schemas/policy/claims_ahead.sql ========
-- How long before a sender is free its next texts may be claimed, so that they are ready when it is. A worker that waits wakes
-- up a little later, and so claims for several senders at once.
create or replace function smsretry.claims_ahead()
returns interval language sql immutable set search_path = pg_catalog, pg_temp as $$ select interval '1 second' $$;

-- ======== schemas/tables/heard_stops.sql ========
-- Which senders heard the STOPs that hold for a number at a business. Another sender's START takes none of them back. A STOP
-- whose sender nobody knows is not here. Without a key no insert waits.
create table if not exists smsretry.heard_stops (
    number_key bytea not null,
    senders text[] not null,
    since timestamptz not null
);
comment on column smsretry.heard_stops.number_key is 'smsretry.number_key: business and number, hashed.';
comment on column smsretry.heard_stops.senders is 'As smsretry.heard_by has them.';
create index if not exists heard_stops_number on smsretry.heard_stops (number_key);

revoke all on smsretry.heard_stops from public, anon, authenticated;
grant select, insert, delete on smsretry.heard_stops to service_role;

-- ======== by hand: smsretry.inbound_texts ========
alter table smsretry.inbound_texts add column if not exists senders text[];

-- ======== schemas/tables/inbound_texts.sql ========
-- Texts that said STOP or START, by their SID: a repeated webhook changes nobody's consent. A text that only may mean stop
-- waits here for a person, who reads it at Twilio. Its words are not kept.
create table if not exists smsretry.inbound_texts (
    twilio_sid text primary key,
    heard_at timestamptz not null,
    said text not null,
    heard text,
    number_key bytea,
    seen_at timestamptz,
    senders text[],
    constraint inbound_texts_said check (said in ('STOP', 'START'))
);
comment on column smsretry.inbound_texts.heard is 'By what it was known: as record_inbound_sms answers; yes: a START that said YES. Null: by version 1.0.0.';
comment on column smsretry.inbound_texts.number_key is 'Who said it, at no business in particular: smsretry.number_key.';
comment on column smsretry.inbound_texts.seen_at is 'When it stopped waiting for a person: somebody recorded the number''s consent, or it said a plain word since.';
comment on column smsretry.inbound_texts.senders is 'Which of ours heard it: smsretry.heard_by. Null: nobody knew, or no business had a sender of its own.';
create index if not exists inbound_texts_unseen on smsretry.inbound_texts (number_key) where heard = 'words' and seen_at is null;

revoke all on smsretry.inbound_texts from public, anon, authenticated;
grant select, insert, update on smsretry.inbound_texts to service_role;

-- ======== by hand: public.scheduled_sends ========
-- The file below makes its rules anew.

-- ======== schemas/tables/scheduled_sends.sql ========
-- Texts that are planned for a time. The application's table: it, its policies and its grants are made only where there is
-- none. Shortly before its time a row becomes a send log, with the row's own id, and a row of the queue
-- (queue_scheduled_sms).
do $$
begin
    if to_regclass('public.scheduled_sends') is not null then
        return;
    end if;
    create table public.scheduled_sends (
        id uuid primary key default gen_random_uuid(),
        -- No foreign key to customers: a row whose customer is gone ends with a reason.
        business_id uuid not null references public.businesses (id) on delete cascade,
        customer_id uuid,
        body text,
        scheduled_for timestamptz not null,
        not_after timestamptz,
        message_class text not null default 'marketing',
        status text not null default 'scheduled' check (status in ('scheduled', 'queued', 'cancelled', 'failed')),
        send_log_id uuid,
        created_by uuid,
        why text,
        held_since timestamptz,
        look_at timestamptz,
        why_code text,
        created_at timestamptz not null default now(),
        updated_at timestamptz not null default now()
    );
    create index scheduled_sends_business on public.scheduled_sends (business_id, scheduled_for);
    alter table public.scheduled_sends enable row level security;
    create policy "Owners read their scheduled sends" on public.scheduled_sends for select to authenticated
        using (business_id in (select b.id from public.businesses b where b.user_id = (select auth.uid())));
    create policy "Owners schedule texts to their customers" on public.scheduled_sends for insert to authenticated
        with check (
            status = 'scheduled'
            and business_id in (select b.id from public.businesses b where b.user_id = (select auth.uid()))
            and exists (select 1 from public.customers c where c.id = customer_id
                        and c.business_id = scheduled_sends.business_id));
    create policy "Owners move and cancel their scheduled sends" on public.scheduled_sends for update to authenticated
        using (status in ('scheduled', 'queued')
               and business_id in (select b.id from public.businesses b where b.user_id = (select auth.uid())))
        with check (status in ('scheduled', 'queued', 'cancelled')
                    and business_id in (select b.id from public.businesses b where b.user_id = (select auth.uid())));
    -- A Supabase project grants everything in public to anon and authenticated. The message class is not a tenant's to
    -- choose: a transactional text keeps fewer rules.
    revoke all on public.scheduled_sends from public, anon, authenticated;
    grant select on public.scheduled_sends to authenticated;
    grant insert (id, business_id, customer_id, body, scheduled_for, not_after, created_by)
        on public.scheduled_sends to authenticated;
    grant update (body, scheduled_for, not_after, status) on public.scheduled_sends to authenticated;
    -- Deleting the row would not end its text: it is cancelled.
    revoke delete, truncate on public.scheduled_sends from service_role;
end
$$;

alter table public.scheduled_sends add column if not exists customer_id uuid;
alter table public.scheduled_sends add column if not exists body text;
alter table public.scheduled_sends add column if not exists not_after timestamptz;
alter table public.scheduled_sends add column if not exists message_class text not null default 'marketing';
alter table public.scheduled_sends add column if not exists send_log_id uuid;
alter table public.scheduled_sends add column if not exists created_by uuid;
alter table public.scheduled_sends add column if not exists why text;
alter table public.scheduled_sends add column if not exists held_since timestamptz;
alter table public.scheduled_sends add column if not exists look_at timestamptz;
alter table public.scheduled_sends add column if not exists why_code text;
alter table public.scheduled_sends add column if not exists created_at timestamptz not null default now();
alter table public.scheduled_sends add column if not exists updated_at timestamptz not null default now();
comment on column public.scheduled_sends.status is 'scheduled: it waits for its time. queued: its text exists, and its send log says what becomes of it. cancelled, failed: it never became a text, or was cancelled in time; why says the reason.';
comment on column public.scheduled_sends.not_after is 'After this the text is of no more use, and is cancelled. Null: it is of use for as long as any text in the queue, from scheduled_for on, also while nothing ran.';
comment on column public.scheduled_sends.send_log_id is 'The send log of its text, once there is one. It is the row''s own id.';
comment on column public.scheduled_sends.why is 'Why it was cancelled, has failed or is held.';
comment on column public.scheduled_sends.why_code is 'why, in a word for programs, as in sms_retry_queue.';
comment on column public.scheduled_sends.held_since is 'Since when it waits for something that a person can mend; why says what. It goes on by itself once that is mended.';
comment on column public.scheduled_sends.look_at is 'When it is looked at again, if not at its time.';

-- Rules for our states; an application may have others. Rows that break a new rule are reported and stay.
do $$
declare
    rule record;
begin
    for rule in
        select * from (values
            ('scheduled_sends_message_class', $c$message_class in ('marketing', 'transactional')$c$),
            -- Infinity, years BC and the like could not be queued.
            ('scheduled_sends_instants', $c$status not in ('scheduled', 'queued')
                or scheduled_for between '2000-01-01 00:00+00' and '2100-01-01 00:00+00'
                   and not_after between '2000-01-01 00:00+00' and '2100-01-01 00:00+00'$c$),
            -- Otherwise it could only be cancelled.
            ('scheduled_sends_use', $c$status <> 'scheduled' or not_after > scheduled_for$c$),
            -- The numbers: smsretry.longest_body, longest_reason.
            ('scheduled_sends_lengths', $c$(status <> 'scheduled' or length(body) <= 1600) and length(why) <= 2000$c$),
            ('scheduled_sends_why_code', $c$why_code in (
                'no_send_log', 'not_sms', 'no_customer', 'no_phone', 'number_invalid', 'no_body',
                'body_too_long', 'bad_row', 'id_taken', 'row_refused', 'opted_out', 'already_sent',
                'expired', 'operator', 'application', 'superseded', 'quiet_hours', 'daily_cap',
                'no_time_zone', 'no_opening', 'hours_unreadable', 'state_stopped',
                'customer_locked', 'database_trouble', 'data_changed', 'sending_stopped',
                'business_trouble', 'sender_rate', 'sender_paused', 'day_spent', 'no_credentials', 'already_queued', 'claim_lost', 'unreachable',
                'rate_limited', 'account_refused', 'refused_for_now', 'refused', 'attempts_used_up',
                'undelivered', 'delivery_open', 'in_doubt', 'worker_died', 'restored',
                'no_evidence', 'list_unavailable', 'ambiguous', 'clock_set_back', 'unforeseen')$c$),
            ('scheduled_sends_queued', $c$status <> 'queued' or send_log_id is not null$c$),
            ('scheduled_sends_held', $c$held_since is null or status = 'scheduled' and why is not null$c$)
        ) as r (name, expression)
    loop
        execute format('alter table public.scheduled_sends drop constraint if exists %I', rule.name);
        execute format('alter table public.scheduled_sends add constraint %I check (%s) not valid', rule.name, rule.expression);
        begin
            execute format('alter table public.scheduled_sends validate constraint %I', rule.name);
        exception when check_violation then
            raise warning 'scheduled_sends holds rows that break %: %', rule.name, rule.expression
                using hint = 'Find them with: select id from scheduled_sends where not (' || rule.expression || ')';
        end;
    end loop;
end
$$;

create index if not exists scheduled_sends_due
    on public.scheduled_sends ((coalesce(look_at, scheduled_for)), id) where status = 'scheduled';
create index if not exists scheduled_sends_turns
    on public.scheduled_sends (business_id, (coalesce(look_at, scheduled_for)), id) where status = 'scheduled';
-- For the desk.
create index if not exists scheduled_sends_customer
    on public.scheduled_sends (customer_id) where send_log_id is null;

grant select, insert, update on public.scheduled_sends to service_role;

-- ======== schemas/tables/sender_steps.sql ========
-- What a person did to a sender, who it was and why. Append-only, and kept when the sender is gone.
create table if not exists smsretry.sender_steps (
    sender_id uuid not null,
    taken_at timestamptz not null,
    step text not null,
    who text not null,
    because text not null,
    account text not null,
    sent_by text not null,
    business_id uuid,
    message_class text,
    constraint sender_steps_step check (step in ('added', 'changed', 'paused', 'resumed', 'removed')),
    constraint sender_steps_lengths check (length(who) between 1 and 200 and length(because) between 1 and 500)
);
comment on column smsretry.sender_steps.business_id is 'Which business got it or lost it. Null: the step was about the sender itself.';
create index if not exists sender_steps_sender on smsretry.sender_steps (sender_id, taken_at);

-- Default privileges may be wide.
revoke all on smsretry.sender_steps from public, anon, authenticated;
grant select, insert on smsretry.sender_steps to service_role;

-- ======== by hand: smsretry.sender_time ========
alter table smsretry.sender_time add column if not exists after uuid;

-- ======== schemas/tables/sender_time.sql ========
-- Until when each sender's time is given away: what it sends next, it sends then. One row a sender; all workers share it.
create table if not exists smsretry.sender_time (
    sender text primary key,
    free_at timestamptz not null,
    after uuid
);
comment on column smsretry.sender_time.after is 'Of a sender with a rate that several businesses share: the one served last. The next claim goes on behind it.';

-- Default privileges may be wide.
revoke all on smsretry.sender_time from public, anon, authenticated;
grant select, insert, update, delete on smsretry.sender_time to service_role;

-- ======== schemas/tables/senders.sql ========
-- Who sends for whom. A sender is a messaging service or a number, in an account of the provider's. Its account and address
-- never change: a business that moves gets another sender, and its attempts still name the old one.
create table if not exists smsretry.senders (
    id uuid primary key default gen_random_uuid(),
    account text not null,
    sent_by text not null,
    segments_per_second double precision,
    segments_per_day integer,
    paused_at timestamptz,
    paused_because text,
    spent_until timestamptz,
    spent_cap integer,
    counted_to timestamptz,
    counted_segments bigint not null default 0,
    created_at timestamptz not null default now(),
    constraint senders_one unique (account, sent_by),
    -- Ids of the provider's, or a number in E.164. smsretry.sender_problem has their exact shapes.
    constraint senders_ids check (
        account ~ '^[A-Za-z0-9]{8,64}$' and sent_by ~ '^([+][1-9][0-9]{6,14}|[A-Za-z0-9]{8,64})$' and account <> sent_by),
    -- Above 1,000 a second it is no rate, and below one in 100 seconds it would hardly send.
    constraint senders_rate check (segments_per_second between 0.01 and 1000),
    constraint senders_cap check (segments_per_day > 0),
    constraint senders_paused check ((paused_at is null) = (paused_because is null) and length(paused_because) between 1 and 500)
);
comment on table smsretry.senders is 'The businesses'' own senders. What has none here is sent by the sender of the runner''s environment.';
comment on column smsretry.senders.account is 'The provider''s account that owns it: a subaccount''s SID, or that of a business''s own account. Credentials are the runner''s.';
comment on column smsretry.senders.sent_by is 'A messaging service''s SID, or a number.';
comment on column smsretry.senders.segments_per_second is 'What it sends. Null: as fast as the provider takes them.';
comment on column smsretry.senders.segments_per_day is 'What a carrier takes of it in a day, which turns over at midnight Pacific time. Null: not limited here.';
comment on column smsretry.senders.paused_because is 'Why its texts wait. Null: it sends.';
comment on column smsretry.senders.spent_until is 'When the day turns over that it has used, as a send found: smsretry.spent_day. spent_cap: its segments_per_day then.';
comment on column smsretry.senders.counted_to is 'How far into its day its sends were added up: counted_segments. smsretry.day_used adds what came later.';
create index if not exists senders_sent_by on smsretry.senders (sent_by);

-- Which sender a business's texts go out from.
create table if not exists smsretry.business_senders (
    business_id uuid not null references public.businesses (id) on delete cascade,
    message_class text not null default 'any',
    sender_id uuid not null references smsretry.senders (id),
    primary key (business_id, message_class),
    -- One of a class outranks the one for any class.
    constraint business_senders_class check (message_class in ('any', 'marketing', 'transactional'))
);
create index if not exists business_senders_sender on smsretry.business_senders (sender_id, business_id);

-- The senders of the runners' environments, which send for every business without one of its own. Each is written by the
-- first claim of its runner.
create table if not exists smsretry.default_senders (
    sent_by text primary key,
    account text not null,
    segments_per_second double precision,
    seen_at timestamptz not null
);

revoke all on smsretry.senders, smsretry.business_senders, smsretry.default_senders from public, anon, authenticated;
grant select, insert, update, delete on smsretry.senders, smsretry.business_senders, smsretry.default_senders to service_role;

-- ======== by hand: public.sms_retry_queue ========
alter table public.sms_retry_queue drop constraint if exists sms_retry_queue_why_code;
alter table public.sms_retry_queue add constraint sms_retry_queue_why_code check (why_code in (
        'no_send_log', 'not_sms', 'no_customer', 'no_phone', 'number_invalid', 'no_body', 'body_too_long',
        'bad_row', 'id_taken', 'row_refused', 'opted_out', 'already_sent', 'expired', 'operator',
        'application', 'superseded', 'quiet_hours', 'daily_cap', 'no_time_zone', 'no_opening',
        'hours_unreadable', 'state_stopped', 'customer_locked', 'database_trouble', 'data_changed',
        'sending_stopped', 'business_trouble', 'sender_rate', 'sender_paused', 'day_spent', 'no_credentials', 'already_queued', 'claim_lost', 'unreachable',
        'rate_limited', 'account_refused', 'refused_for_now', 'refused', 'attempts_used_up', 'undelivered',
        'delivery_open', 'in_doubt', 'worker_died', 'restored', 'no_evidence', 'list_unavailable',
        'ambiguous', 'clock_set_back', 'unforeseen')) not valid;
alter table public.sms_retry_queue validate constraint sms_retry_queue_why_code;

-- ======== schemas/tables/sms_retry_queue.sql ========
-- One row a text that is owed to one person. The columns down to updated_at, and their meanings, are the application's.
create table if not exists public.sms_retry_queue (
    id uuid primary key default gen_random_uuid(),
    -- No foreign keys to send_logs and customers: deleting one of those must neither fail nor erase the row, which ends with
    -- a reason.
    business_id uuid not null references public.businesses (id) on delete cascade,
    send_log_id uuid not null,
    customer_id uuid not null,
    status text not null default 'pending',
    attempt_count integer not null default 0,
    max_attempts integer not null default 3,
    scheduled_for timestamptz not null,
    last_attempted_at timestamptz,
    last_error text,
    reason text,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),

    claim_no bigint not null default 0,
    claimed_at timestamptz,
    begun_at timestamptz,
    attempt_id uuid,
    in_doubt_since timestamptz,
    reconcile_count integer not null default 0,
    reconciled_claim_no bigint,
    recover_count integer not null default 0,
    rate_limit_count integer not null default 0,
    account_refusal_count integer not null default 0,
    error_code integer,
    message_class text not null default 'marketing',
    why text,
    held_since timestamptz,
    claimed_by_application boolean not null default false,
    expires_at timestamptz,
    window_closes_at timestamptz,
    why_code text,

    constraint sms_retry_queue_status check (status in ('pending', 'processing', 'completed', 'failed', 'cancelled')),
    constraint sms_retry_queue_message_class check (message_class in ('marketing', 'transactional')),
    constraint sms_retry_queue_reason check (reason in ('quiet_hours', 'twilio_error', 'rate_limit')),
    -- smsretry/vocabulary.py says what each means.
    constraint sms_retry_queue_why_code check (why_code in (
        'no_send_log', 'not_sms', 'no_customer', 'no_phone', 'number_invalid', 'no_body', 'body_too_long',
        'bad_row', 'id_taken', 'row_refused', 'opted_out', 'already_sent', 'expired', 'operator',
        'application', 'superseded', 'quiet_hours', 'daily_cap', 'no_time_zone', 'no_opening',
        'hours_unreadable', 'state_stopped', 'customer_locked', 'database_trouble', 'data_changed',
        'sending_stopped', 'business_trouble', 'sender_rate', 'sender_paused', 'day_spent', 'no_credentials', 'already_queued', 'claim_lost', 'unreachable',
        'rate_limited', 'account_refused', 'refused_for_now', 'refused', 'attempts_used_up', 'undelivered',
        'delivery_open', 'in_doubt', 'worker_died', 'restored', 'no_evidence', 'list_unavailable',
        'ambiguous', 'clock_set_back', 'unforeseen')),
    constraint sms_retry_queue_attempts check (attempt_count between 0 and 1000 and max_attempts between 1 and 1000),
    -- No worker could read infinity or years BC, and the other rows of its claim would suffer.
    constraint sms_retry_queue_instants check (
        scheduled_for between '2000-01-01 00:00+00' and '2100-01-01 00:00+00'
        and expires_at between '2000-01-01 00:00+00' and '2100-01-01 00:00+00'
        and window_closes_at between '2000-01-01 00:00+00' and '2100-01-01 00:00+00'
        and last_attempted_at between '2000-01-01 00:00+00' and '2100-01-01 00:00+00'
        and created_at between '2000-01-01 00:00+00' and '2100-01-01 00:00+00'
        and updated_at between '2000-01-01 00:00+00' and '2100-01-01 00:00+00'),
    -- A claim's answer carries these for each of its rows.
    constraint sms_retry_queue_lengths check (length(last_error) <= 2000 and length(why) <= 2000),
    constraint sms_retry_queue_held check (held_since is null or (status in ('pending', 'processing') and why is not null)),
    -- Without a lease nobody could take a processing row back.
    constraint sms_retry_queue_lease check (status <> 'processing' or claimed_at is not null),
    -- Only a claimed row is begun, and its send has an id.
    constraint sms_retry_queue_begun check (begun_at is null or (status = 'processing' and attempt_id is not null)),
    -- A doubt is about one attempt, and a text that is known to be sent is not in doubt.
    constraint sms_retry_queue_doubt check (in_doubt_since is null or (attempt_id is not null and status <> 'completed'))
)
-- Rows are rewritten all day. Room on the page keeps their updates HOT; vacuum and analyze come after a number of changes,
-- not after a share of the table.
with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000,
      autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 5000);

comment on column public.sms_retry_queue.claim_no is 'Fencing token: rises with every claim, never falls. Every write of a worker names the one it holds.';
comment on column public.sms_retry_queue.claimed_at is 'When the present claim was taken: the start of its lease.';
comment on column public.sms_retry_queue.begun_at is 'When the send that is under way was begun; null when none is.';
comment on column public.sms_retry_queue.attempt_id is 'The attempt that is under way or in doubt; null when there is none.';
comment on column public.sms_retry_queue.in_doubt_since is 'Since when it is unknown whether attempt_id reached the customer. Such a row is never simply sent again.';
comment on column public.sms_retry_queue.reconcile_count is 'How many looks for evidence of attempt_id found nothing.';
comment on column public.sms_retry_queue.reconciled_claim_no is 'The last claim whose look for evidence was recorded, so that recording it twice is harmless.';
comment on column public.sms_retry_queue.rate_limit_count is 'How often Twilio said "slower". Costs an attempt only past a cap.';
comment on column public.sms_retry_queue.recover_count is 'How many workers died while they held this row, before its send began or while they looked for evidence of it.';
comment on column public.sms_retry_queue.account_refusal_count is 'How often Twilio refused the account when this text was sent. Such a text is never the one that tries whether sending works again.';
comment on column public.sms_retry_queue.held_since is 'Since when it waits for something that a person can mend; why says what. It goes on by itself once that is mended.';
comment on column public.sms_retry_queue.claimed_by_application is 'Claimed by a caller that does not begin its sends: its claim counts as a send, because it may be one.';
comment on column public.sms_retry_queue.expires_at is 'When the text is of no more use. Null until the first moment it might have gone out: waiting for an opening does not count.';
comment on column public.sms_retry_queue.window_closes_at is 'When the window closes that a deferred row waits for; null if none is known. In the hour before, it goes before other texts of its business.';
comment on column public.sms_retry_queue.error_code is 'Twilio''s code for last_error, when it came from Twilio.';
comment on column public.sms_retry_queue.message_class is 'marketing: every quiet-hours rule binds. transactional: 08:00-21:00 where the customer is, and no state''s rule.';
comment on column public.sms_retry_queue.why is 'Why the row waits for scheduled_for, in words and with the rule. Failures are in last_error.';
comment on column public.sms_retry_queue.why_code is 'Why the row waits or has ended, in a word for programs: what why, or else last_error, says in words. Null: nothing was decided, or by version 1.0.0.';
comment on column public.sms_retry_queue.attempt_count is 'Sends made from the queue. A deferral, the recovery of a claim that was not begun and a request that was never sent do not count.';

create unique index if not exists sms_retry_queue_one_live_row
    on public.sms_retry_queue (send_log_id) where status in ('pending', 'processing');
-- What is due: the claim looks here first, and mostly finds nothing. sms_status counts by the included columns, which change
-- only with the status and so cost no HOT update.
create index if not exists sms_retry_queue_next
    on public.sms_retry_queue (scheduled_for, id) include (reason, attempt_count, held_since)
    where status = 'pending' and in_doubt_since is null;
-- The claim walks these business by business. No two have the same order, so that none can be taken for another.
create index if not exists sms_retry_queue_turns
    on public.sms_retry_queue (business_id, message_class, scheduled_for, id)
    where status = 'pending' and in_doubt_since is null;
create index if not exists sms_retry_queue_due_closing
    on public.sms_retry_queue (business_id, window_closes_at, id)
    where status = 'pending' and in_doubt_since is null and window_closes_at is not null;
create index if not exists sms_retry_queue_in_doubt
    on public.sms_retry_queue (scheduled_for, id) where status = 'pending' and in_doubt_since is not null;
create index if not exists sms_retry_queue_turns_in_doubt
    on public.sms_retry_queue (business_id, scheduled_for, id) where status = 'pending' and in_doubt_since is not null;
create index if not exists sms_retry_queue_suspect
    on public.sms_retry_queue (recover_count, scheduled_for)
    where status = 'pending' and recover_count > 0;
create index if not exists sms_retry_queue_customer on public.sms_retry_queue (customer_id);
create index if not exists sms_retry_queue_send_log on public.sms_retry_queue (send_log_id);
-- For the desk.
create index if not exists sms_retry_queue_held on public.sms_retry_queue (held_since) where held_since is not null;
-- For the desk and for pruning. A row enters it once.
create index if not exists sms_retry_queue_ended
    on public.sms_retry_queue (updated_at) where status in ('completed', 'failed', 'cancelled');
-- Recovery reads all claims. By id, because an index on the lease itself would cost every begin its HOT update.
create index if not exists sms_retry_queue_claimed on public.sms_retry_queue (id) where status = 'processing';

alter table public.sms_retry_queue enable row level security;

drop policy if exists "Owners read their retries" on public.sms_retry_queue;
create policy "Owners read their retries" on public.sms_retry_queue for select to authenticated
    using (business_id in (select b.id from public.businesses b where b.user_id = (select auth.uid())));

-- Without the last two conditions a tenant could have another tenant's text sent.
drop policy if exists "Owners queue retries of their texts" on public.sms_retry_queue;
create policy "Owners queue retries of their texts" on public.sms_retry_queue for insert to authenticated
    with check (
        status = 'pending' and attempt_count between 0 and max_attempts and max_attempts between 1 and 10
        and business_id in (select b.id from public.businesses b where b.user_id = (select auth.uid()))
        and exists (select 1 from public.send_logs l where l.id = send_log_id
                    and l.business_id = sms_retry_queue.business_id and l.customer_id = sms_retry_queue.customer_id)
        and exists (select 1 from public.customers c where c.id = customer_id
                    and c.business_id = sms_retry_queue.business_id)
    );

-- A Supabase project grants everything in public to anon and authenticated.
revoke all on public.sms_retry_queue from public, anon, authenticated;
grant select on public.sms_retry_queue to authenticated;
-- Claim number, lease and the like are not a tenant's to set.
revoke insert on public.sms_retry_queue from authenticated;
grant insert (id, business_id, send_log_id, customer_id, status, attempt_count, max_attempts, scheduled_for,
              last_error, reason)
    on public.sms_retry_queue to authenticated;
-- History is kept: a text that is no longer wanted is cancelled, not deleted.
revoke delete, truncate on public.sms_retry_queue from service_role;
grant select, insert, update on public.sms_retry_queue to service_role;

-- ======== by hand: public.sms_send_attempts ========
alter table public.sms_send_attempts add column if not exists sent_account text;
alter table public.sms_send_attempts add column if not exists segments integer;
create index if not exists sms_send_attempts_day on public.sms_send_attempts (sent_by, begun_at) include (segments, outcome)
    where segments is not null;
alter table public.sms_send_attempts add column if not exists delivery_excused boolean not null default false;

-- ======== schemas/tables/sms_send_attempts.sql ========
-- One row a send that was begun: inserted by begin, settled once, never deleted by a function. delivery_…: from Twilio.
create table if not exists public.sms_send_attempts (
    id uuid primary key,
    retry_id uuid not null references public.sms_retry_queue (id) on delete cascade,
    attempt_number integer not null,
    claim_no bigint not null,
    begun_at timestamptz not null,
    finished_at timestamptz,
    outcome text,
    settled_by text,
    error_code integer,
    twilio_sid text,
    consent_status text,
    consent_at timestamptz,
    consent_source text,
    quiet_hours_rule text,
    number_key bytea,
    sent_to text,
    sent_body text,
    sent_by text,
    worker_died boolean not null default false,
    run_id uuid,
    delivery_status text,
    delivery_code integer,
    delivery_at timestamptz,
    delivery_look_at timestamptz,
    delivery_looks integer not null default 0,
    business_id uuid,
    sent_account text,
    segments integer,
    delivery_excused boolean not null default false,
    constraint sms_send_attempts_outcome check (outcome in ('accepted', 'rejected', 'not_sent', 'in_doubt')),
    constraint sms_send_attempts_settled_by check (settled_by in ('response', 'callback', 'reconcile', 'operator')),
    -- An outcome and its time are set together.
    constraint sms_send_attempts_finished check ((finished_at is null) = (outcome is null)),
    -- Only an accepted message has a SID. A response without one is no acceptance; a send log that says sent is.
    constraint sms_send_attempts_sid check (
        case when outcome = 'accepted' then twilio_sid is not null or settled_by <> 'response' else twilio_sid is null end),
    -- A Twilio message belongs to one attempt.
    constraint sms_send_attempts_twilio_sid_key unique (twilio_sid),
    -- A claim sends at most once.
    constraint sms_send_attempts_one_per_claim unique (retry_id, claim_no),
    -- Number and body are kept only while evidence may be compared with them.
    constraint sms_send_attempts_private check (
        outcome is null or outcome = 'in_doubt' or (sent_to is null and sent_body is null)),
    -- Twilio's own words, and unknown: it reported nothing final for long enough.
    constraint sms_send_attempts_delivery check (delivery_status in (
        'accepted', 'scheduled', 'queued', 'sending', 'sent', 'unknown', 'undelivered', 'failed', 'canceled', 'delivered', 'read')),
    -- Only a message with a SID is reported on, and only a failure has a code.
    constraint sms_send_attempts_reported check (
        (twilio_sid is not null or (delivery_status is null and delivery_look_at is null))
        and (delivery_status is null) = (delivery_at is null)
        and (delivery_code is null or delivery_status in ('undelivered', 'failed', 'canceled')))
)
-- As sms_retry_queue.
with (autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 5000);
comment on table public.sms_send_attempts is 'Every send that was begun and what became of it.';
comment on column public.sms_send_attempts.number_key is 'A keyed hash of business and number, by which texts to a person are counted: smsretry.number_key.';
comment on column public.sms_send_attempts.sent_to is 'With sent_body and sent_by: what was sent, until it is known what became of it. Evidence is compared with this and never with what the rows say now.';
comment on column public.sms_send_attempts.worker_died is 'It came into doubt because its worker died: nobody knows whether the request ever left.';
comment on column public.sms_send_attempts.run_id is 'The run that made it: smsretry.runs, and in Prefect the flow run of this id.';
comment on column public.sms_send_attempts.attempt_number is '1, 2, 3 … for retries; 0 for a text''s first send by send_sms.';
comment on column public.sms_send_attempts.consent_status is 'With consent_at and consent_source: the customer''s consent as it was read when the send began.';
comment on column public.sms_send_attempts.delivery_status is 'What Twilio last reported of the message: smsretry.delivery_rank has the order. Null: nothing yet.';
comment on column public.sms_send_attempts.delivery_code is 'Twilio''s code for a message that did not arrive.';
comment on column public.sms_send_attempts.delivery_at is 'When delivery_status was reported to us.';
comment on column public.sms_send_attempts.delivery_look_at is 'When to ask Twilio for it, or to decide about its failure. Null: nothing is open.';
comment on column public.sms_send_attempts.business_id is 'Whose it is, kept from when its delivery is open: deliveries are looked after business by business. See smsretry.open_delivery.';
comment on column public.sms_send_attempts.sent_account is 'The provider''s account that it went out from: all later questions about it go there. Null: begun by an older version, from the account of the environment.';
comment on column public.sms_send_attempts.segments is 'How many segments it has, if its sender has a cap a day.';
comment on column public.sms_send_attempts.delivery_excused is 'It did not arrive for what was its sender''s and not its own: a registration, or the day''s cap. It counts neither as an attempt nor as a failed delivery.';
comment on column public.sms_send_attempts.delivery_looks is 'How often it was looked after. Fences what such a look comes to.';

-- For the daily cap.
create index if not exists sms_send_attempts_number
    on public.sms_send_attempts (number_key, (coalesce(finished_at, begun_at)));
-- What is in doubt or under way to a number: a look for evidence compares it. Few have sent_to.
create index if not exists sms_send_attempts_unknown on public.sms_send_attempts (sent_to) where sent_to is not null;
create index if not exists sms_send_attempts_open
    on public.sms_send_attempts (delivery_look_at) where delivery_look_at is not null;
create index if not exists sms_send_attempts_turns
    on public.sms_send_attempts (business_id, delivery_look_at, id) where delivery_look_at is not null;
-- What a sender with a cap has sent in the day.
create index if not exists sms_send_attempts_day on public.sms_send_attempts (sent_by, begun_at) include (segments, outcome)
    where segments is not null;
-- A BRIN, because attempts are only ever added.
create index if not exists sms_send_attempts_begun on public.sms_send_attempts using brin (begun_at) with (pages_per_range = 16);
-- For every look for evidence. A hash, because the value may be of any length.
create index if not exists send_logs_twilio_sid on public.send_logs using hash ((provider_message_id ->> 'twilio_sid'));

alter table public.sms_send_attempts enable row level security;

drop policy if exists "Owners read their attempts" on public.sms_send_attempts;
create policy "Owners read their attempts" on public.sms_send_attempts for select to authenticated
    using (exists (select 1 from public.sms_retry_queue q where q.id = retry_id));

-- A Supabase project grants everything in public to anon and authenticated.
revoke all on public.sms_send_attempts from public, anon, authenticated;
grant select on public.sms_send_attempts to authenticated;
-- Attempts are deleted only with their business.
revoke delete, truncate on public.sms_send_attempts from service_role;
grant select, insert, update on public.sms_send_attempts to service_role;

-- ======== schemas/helpers/circuits.sql ========
-- The open circuits. own: of a sender of the businesses'; otherwise of the environment's, or of everybody (sender '').
create or replace function smsretry.circuits()
returns table (sender text, own boolean, opened_at timestamptz, why text)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    return query
    select c.sender, not smsretry.is_environments(c.sender), c.opened_at, c.why
    from smsretry.circuit c order by c.sender;
end
$$;

-- ======== schemas/helpers/day_used.sql ========
-- What a sender with a cap has used of the carriers' day: segments of what may have gone out.
--   settled: of them those begun before settled_at · afresh: how many of those smsretry.spent_until has not noted yet
create or replace function smsretry.day_used(
    sender smsretry.senders, at timestamptz, settled_at timestamptz default null,
    out segments bigint, out settled bigint, out afresh bigint
)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    v_from timestamptz := (smsretry.carriers_day(at)).begins;
    v_noted bigint := 0;
begin
    if sender.counted_to > v_from and sender.counted_to <= at then -- else the clock was set back
        v_from := sender.counted_to;
        v_noted := sender.counted_segments;
    end if;
    select v_noted + coalesce(sum(a.segments), 0), v_noted + coalesce(sum(a.segments) filter (where a.begun_at < settled_at), 0),
           count(*) filter (where a.begun_at < settled_at)
    into segments, settled, afresh
    from public.sms_send_attempts a
    where a.segments is not null and a.sent_by = sender.sent_by and a.begun_at >= v_from
      and coalesce(a.outcome, 'in_doubt') in ('accepted', 'in_doubt');
end
$$;

-- ======== schemas/helpers/is_environments.sql ========
-- Whether a sender is the runners' environments': no business has it as its own, or a runner has told it lately, compared with
-- the others'. One that the environment had before may be a business's own by now, and speaks for that one alone.
create or replace function smsretry.is_environments(sent_by text)
returns boolean language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    return not exists (select from smsretry.senders s where s.sent_by = is_environments.sent_by)
        or exists (select from smsretry.default_senders d
                   where d.sent_by = is_environments.sent_by
                     and d.seen_at > (select max(o.seen_at) from smsretry.default_senders o) - interval '1 day');
end
$$;

-- ======== schemas/helpers/limits_problem.sql ========
-- What is wrong with a sender's rate and cap; null: nothing.
create or replace function smsretry.limits_problem(segments_per_second double precision, segments_per_day integer)
returns text language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    return case
        when not (limits_problem.segments_per_second >= 0.01 and limits_problem.segments_per_second <= 1000)
            then 'segments_per_second must be 0.01 to 1000: to stop a sender, pause it'
        when limits_problem.segments_per_day < 1 then 'segments_per_day must be at least 1: to stop a sender, pause it'
    end;
end
$$;

-- ======== schemas/helpers/name_of_sender.sql ========
-- What names a sender in a command that people can copy: its SID; of a number its id, because a number is not shown.
create or replace function smsretry.name_of_sender(sender smsretry.senders)
returns text language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    return case when sender.sent_by like '+%' then sender.id::text else sender.sent_by end;
end
$$;

-- ======== schemas/helpers/phone_of.sql ========
-- A number as the provider's webhook names it, in E.164. A form that was decoded wrongly has a space for the plus sign, and
-- RCS names its channel. Anything else stays as it is.
create or replace function smsretry.phone_of(named text)
returns text language sql immutable set search_path = pg_catalog, pg_temp as $$
    select regexp_replace(phone_of.named, '^ *(?:(?:rcs|sms):)? *[+]?([1-9][0-9]{9,14}) *$', '+\1')
$$;

-- ======== schemas/helpers/same_circuit.sql ========
-- Whether a circuit kept under `kept_as` is the one of `sender`. own: it has one for itself. All others, by
-- whatever sender, are the environment's: smsretry.is_environments.
create or replace function smsretry.same_circuit(kept_as text, sender text, own boolean)
returns boolean language sql stable set search_path = pg_catalog, pg_temp as $$
    select case when own or sender = '' then kept_as = sender
                else smsretry.is_environments(kept_as) end
$$;

-- ======== schemas/helpers/sender_now.sql ========
-- The sender of a business's texts of this class, as a claim tells it, and its circuit. Null: smsretry.sender_of. The
-- environment's circuit is that of any sender which smsretry.is_environments.
create or replace function smsretry.sender_now(
    business_id uuid, message_class text, out sent_by text, out sender jsonb, out opened_at timestamptz
)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_sender constant smsretry.senders := smsretry.sender_of(sender_now.business_id, sender_now.message_class);
begin
    if v_sender.id is null then
        opened_at := (
            select min(c.opened_at) from smsretry.circuit c
            where c.sender <> '' and ( -- as smsretry.is_environments, which is dear for hundreds of open ones
                not exists (select from smsretry.senders s where s.sent_by = c.sender)
                or exists (select from smsretry.default_senders d where d.sent_by = c.sender) and smsretry.is_environments(c.sender)));
        return;
    end if;
    sent_by := v_sender.sent_by;
    sender := jsonb_build_object(
        'id', v_sender.id, 'account', v_sender.account, 'sent_by', v_sender.sent_by,
        'segments_per_second', v_sender.segments_per_second, 'segments_per_day', v_sender.segments_per_day,
        'paused_because', v_sender.paused_because, 'spent_until', smsretry.spent_day(v_sender, smsretry.clock()));
    opened_at := (select c.opened_at from smsretry.circuit c where c.sender = v_sender.sent_by);
end
$$;

-- ======== schemas/helpers/sender_of.sql ========
-- The sender of a business's texts of this class. All null: it has none of its own, and the environment's sends for it.
create or replace function smsretry.sender_of(business_id uuid, message_class text)
returns smsretry.senders language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_sender smsretry.senders;
begin
    select s.* into v_sender
    from smsretry.business_senders b
    join smsretry.senders s on s.id = b.sender_id
    where b.business_id = sender_of.business_id and b.message_class in (sender_of.message_class, 'any')
    order by b.message_class = 'any' limit 1;
    return v_sender;
end
$$;

-- ======== schemas/helpers/sender_problem.sql ========
-- What is wrong with the ids of a sender; null: nothing. Here is the shape of Twilio's SIDs. A value is never quoted: it may
-- be somebody's number.
create or replace function smsretry.sender_problem(account text, sent_by text)
returns text language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
    k_kinds constant jsonb := '{"AC": "an account", "MG": "a messaging service", "PN": "a number''s entry", "SK": "an API key",
        "SM": "a message", "MM": "a message", "VA": "a verification service", "BN": "a brand", "CM": "a campaign"}';
    k_sid constant text := '^[A-Z]{2}[0-9a-f]{32}$';
    v_account constant text := case when sender_problem.account ~ k_sid then left(sender_problem.account, 2) end;
    v_sender constant text := case when sender_problem.sent_by ~ k_sid then left(sender_problem.sent_by, 2) end;
begin
    if v_account is distinct from 'AC' then
        return 'account must be an account''s SID: AC and 32 hexadecimal digits, in lower case'
            || coalesce('. This is the SID of ' || (k_kinds ->> v_account), '');
    end if;
    if v_sender is distinct from 'MG' and (sender_problem.sent_by ~ '^[+][1-9][0-9]{6,14}$') is not true then
        return 'sent_by must be a messaging service''s SID (MG and 32 hexadecimal digits, in lower case) or a number in E.164 (+12125550100)'
            || coalesce('. This is the SID of ' || (k_kinds ->> v_sender), '');
    end if;
    return null;
end
$$;

-- ======== schemas/helpers/senders_of.sql ========
-- Who sends a business's texts of each class: smsretry.sender_of by id, both at once. Null: the environment's sender.
create or replace function smsretry.senders_of(business_id uuid, out marketing uuid, out transactional uuid)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_any uuid;
    v_row record;
begin
    for v_row in select b.message_class, b.sender_id from smsretry.business_senders b where b.business_id = senders_of.business_id loop
        case v_row.message_class
            when 'marketing' then marketing := v_row.sender_id;
            when 'transactional' then transactional := v_row.sender_id;
            else v_any := v_row.sender_id;
        end case;
    end loop;
    marketing := coalesce(marketing, v_any);
    transactional := coalesce(transactional, v_any);
end
$$;

-- ======== schemas/helpers/sends_through.sql ========
-- Whether a business's texts, of either class, go out from one of these senders now (as smsretry.heard_by has them).
create or replace function smsretry.sends_through(business_id uuid, senders text[])
returns boolean language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    return exists (
        select 1 from unnest(array['marketing', 'transactional']) c (message_class)
        cross join lateral smsretry.sender_of(sends_through.business_id, c.message_class) s
        where coalesce(s.sent_by, '') = any (sends_through.senders));
end
$$;

-- ======== schemas/helpers/shown_sender.sql ========
-- A sender as people see it: a messaging service's SID as it is, of a number the last four digits.
create or replace function smsretry.shown_sender(sent_by text)
returns text language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    return case when shown_sender.sent_by like '+%' then smsretry.masked(shown_sender.sent_by) else shown_sender.sent_by end;
end
$$;

-- ======== schemas/helpers/spent_day.sql ========
-- When the day turns over of a sender that has used it; null: it has not, or may send more now than it might then. A begin
-- notes it: smsretry.spent_until.
create or replace function smsretry.spent_day(sender smsretry.senders, at timestamptz)
returns timestamptz language sql immutable set search_path = pg_catalog, pg_temp as $$
    select case when sender.spent_until > at and sender.segments_per_day <= sender.spent_cap then sender.spent_until end
$$;

-- ======== schemas/helpers/texted_through.sql ========
-- Whether a business has texted this number from one of these senders (as smsretry.heard_by has them). An attempt that names
-- no sender may have gone out from any.
create or replace function smsretry.texted_through(business_id uuid, phone text, senders text[])
returns boolean language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_key constant bytea := (select smsretry.number_key(texted_through.business_id, texted_through.phone) from smsretry.secret);
begin
    return v_key is null or exists (
        select 1 from public.sms_send_attempts a
        where a.number_key = v_key
          and (a.sent_by is null or a.sent_by = any (texted_through.senders)
               or a.sent_account = any (texted_through.senders)
               or '' = any (texted_through.senders) and smsretry.is_environments(a.sent_by)));
end
$$;

-- ======== drop smsretry.claimed_retry ========
drop view if exists smsretry.claimed_retry;

-- ======== schemas/views/claimed_retry.sql ========
-- What a claim returns to its worker: a row with everything that decides about it. Row level security is the caller's.
create or replace view smsretry.claimed_retry with (security_invoker = true) as
select q.id, q.business_id, q.send_log_id, q.customer_id, q.status, q.attempt_count, q.max_attempts,
       q.scheduled_for, q.last_attempted_at, left(q.last_error, smsretry.longest_reason()) as last_error, q.reason, q.created_at, q.updated_at,
       q.claim_no, q.claimed_at, q.expires_at, q.held_since is not null as held, left(q.why, smsretry.longest_reason()) as why,
       q.attempt_id, q.in_doubt_since, q.reconcile_count, q.rate_limit_count, q.account_refusal_count, q.message_class,
       a.begun_at as attempt_begun_at, a.sent_to, a.sent_body, a.sent_by,
       v.opened_at is not null or exists (select 1 from smsretry.circuit o where o.sender = '') as circuit_open,
       array(select s.state from smsretry.stopped_states s order by s.state) as stopped_states,
       -- Values are cut: a body of megabytes would cost the other rows of the claim.
       l.id is not null as send_log_found, left(l.subject, smsretry.longest_body() + 1) as body, left(l.channel::text, 40) as channel,
       smsretry.is_sent(l.provider_message_id, l.status::text) as log_says_sent,
       smsretry.found_sid(l.provider_message_id) as known_sid,
       c.id is not null as customer_found, left(c.phone, 40) as phone, left(c.timezone, 100) as timezone,
       -- The application's own processor goes by this; our workers check again at begin.
       case when q.claimed_by_application and smsretry.suppressed_since(smsretry.number_key(q.business_id, c.phone)) is not null
            then 'opted_out' else left(c.sms_consent_status::text, 40) end as sms_consent_status,
       left(b.timezone, 100) as business_timezone, left(b.sms_hours, 1000) as business_hours,
       smsretry.decided_by(c.phone, c.timezone, b.timezone, b.sms_hours) as decided_by,
       coalesce(u.sids, '{}') as lost_sids,
       -- Since when it might have gone out: not before it was queued, unless it was planned.
       case when q.scheduled_for < q.created_at
                 and not exists (select 1 from public.scheduled_sends s
                                 where s.id = q.send_log_id and s.business_id = q.business_id)
            then q.created_at else q.scheduled_for end as due_since,
       -- For a row in doubt: bodies of other sends to that number in doubt or under way, the nearest in time first. A message
       -- with those words is theirs.
       case when q.in_doubt_since is null then '{}' else array(
           select o.sent_body from public.sms_send_attempts o
           where o.sent_to = a.sent_to and o.id <> a.id and o.sent_body <> coalesce(a.sent_body, '')
           group by o.sent_body order by min(abs(extract(epoch from o.begun_at - a.begun_at))), o.sent_body
           limit 20) end as other_bodies,
       v.opened_at as circuit_opened_at,
       t.opened_at as business_circuit_opened_at, t.tried_at as business_circuit_tried_at,
       exists (select 1 from public.sms_retry_queue o
               where o.status = 'pending' and o.recover_count >= smsretry.suspect_after() and o.scheduled_for <= smsretry.clock()) as suspects_wait,
       -- Only preview_sms_retries fills these in.
       null::text as refused, null::text as doubted, null::timestamptz[] as texts_at,
       smsretry.longest_body() as longest_body, smsretry.masked(left(c.phone, 40)) as number,
       q.why_code, null::text as refused_code,
       -- The claims of due texts set it.
       true as others_wait,
       -- Null: the sender of the runner's environment.
       v.sender, a.sent_account,
       -- Where lost_sids are, in the same order.
       coalesce(u.accounts, '{}') as lost_accounts,
       (select o.opened_at from smsretry.circuit o where o.sender = '') as provider_circuit_opened_at,
       -- As others_wait, of those with the same sender.
       true as sender_others_wait
from public.sms_retry_queue q
left join public.sms_send_attempts a on a.id = q.attempt_id
-- Consent is given to one business. No equality: without statistics its index might be walked, which has all of its history.
left join public.send_logs l on l.id = q.send_log_id and l.business_id is not distinct from q.business_id
left join public.customers c on c.id = q.customer_id and c.business_id is not distinct from q.business_id
left join public.businesses b on b.id = q.business_id
left join lateral smsretry.sender_now(q.business_id, q.message_class) v on true
left join lateral (
    select min(o.opened_at) as opened_at, max(o.tried_at) as tried_at from smsretry.business_circuits o
    where o.business_id = q.business_id and smsretry.same_circuit(o.sender, coalesce(v.sent_by, '-'), v.sent_by is not null)) t on true
-- Undelivered messages of this text, newest first: the provider is asked once more before another one leaves. Not about those
-- that no carrier took from their sender: they cannot arrive, and that sender's account may be closed by now. A text with one row
-- and no error has none.
left join lateral (
    select array_agg(m.twilio_sid order by m.begun_at desc) as sids,
           array_agg(coalesce(m.sent_account, '') order by m.begun_at desc) as accounts
    from public.sms_send_attempts m
    where (q.last_error is not null
           or cardinality(array(select o.id from public.sms_retry_queue o where o.send_log_id = q.send_log_id)) > 1)
      -- An array, so that an index finds them without statistics.
      and m.retry_id = any (array(select o.id from public.sms_retry_queue o where o.send_log_id = q.send_log_id))
      and smsretry.is_lost(m.delivery_status) and not m.delivery_excused) u on true;

grant select on smsretry.claimed_retry to service_role;

-- ======== drop smsretry.scheduled_claim ========
drop view if exists smsretry.scheduled_claim;

-- ======== schemas/views/scheduled_claim.sql ========
-- A scheduled send as its claim will be once it is queued, for preview_sms_retries. Columns: smsretry.claimed_retry.
create or replace view smsretry.scheduled_claim with (security_invoker = true) as
select s.id, s.business_id, s.id as send_log_id, s.customer_id, 'pending'::text as status, 0 as attempt_count, 3 as max_attempts,
       s.scheduled_for, null::timestamptz as last_attempted_at, null::text as last_error, null::text as reason,
       s.created_at, s.updated_at, 0::bigint as claim_no, null::timestamptz as claimed_at, s.not_after as expires_at,
       s.held_since is not null or h.scheduled_id is not null as held, coalesce(h.why, s.why) as why, null::uuid as attempt_id, null::timestamptz as in_doubt_since,
       0 as reconcile_count, 0 as rate_limit_count, 0 as account_refusal_count, s.message_class,
       null::timestamptz as attempt_begun_at, null::text as sent_to, null::text as sent_body, null::text as sent_by,
       v.opened_at is not null or exists (select 1 from smsretry.circuit o where o.sender = '') as circuit_open,
       array(select t.state from smsretry.stopped_states t order by t.state) as stopped_states,
       true as send_log_found, left(s.body, smsretry.longest_body() + 1) as body, 'sms'::text as channel, false as log_says_sent,
       null::text as known_sid,
       c.id is not null as customer_found, left(c.phone, 40) as phone, left(c.timezone, 100) as timezone,
       left(c.sms_consent_status::text, 40) as sms_consent_status,
       left(b.timezone, 100) as business_timezone, left(b.sms_hours, 1000) as business_hours,
       smsretry.decided_by(c.phone, c.timezone, b.timezone, b.sms_hours) as decided_by, array[]::text[] as lost_sids,
       s.scheduled_for as due_since,
       array[]::text[] as other_bodies,
       v.opened_at as circuit_opened_at,
       null::timestamptz as business_circuit_opened_at, null::timestamptz as business_circuit_tried_at,
       false as suspects_wait,
       null::text as refused, null::text as doubted, null::timestamptz[] as texts_at,
       smsretry.longest_body() as longest_body, smsretry.masked(left(c.phone, 40)) as number,
       case when h.scheduled_id is not null then 'row_refused' else s.why_code end as why_code, null::text as refused_code,
       true as others_wait, v.sender, null::text as sent_account, array[]::text[] as lost_accounts,
       (select o.opened_at from smsretry.circuit o where o.sender = '') as provider_circuit_opened_at,
       true as sender_others_wait
from public.scheduled_sends s
left join smsretry.held_sends h on h.scheduled_id = s.id
left join public.customers c on c.id = s.customer_id and c.business_id = s.business_id
left join public.businesses b on b.id = s.business_id
left join lateral smsretry.sender_now(s.business_id, s.message_class) v on true
where s.status = 'scheduled';

grant select on smsretry.scheduled_claim to service_role;

-- ======== schemas/queue/write_attempt.sql ========
-- Record a send that begins: what is sent, to whom, under which consent and rule. The rows say what is not given.
create or replace function smsretry.write_attempt(
    retry public.sms_retry_queue, id uuid, attempt_number integer, begun_at timestamptz, rule text default null,
    body text default null, sent_by text default null, run_id uuid default null,
    sent_account text default null, segments integer default null
)
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    insert into public.sms_send_attempts (
        id, retry_id, attempt_number, claim_no, begun_at, consent_status, consent_at, consent_source, quiet_hours_rule,
        number_key, sent_to, sent_body, sent_by, run_id, sent_account, segments)
    select write_attempt.id, retry.id, write_attempt.attempt_number, retry.claim_no, write_attempt.begun_at,
           left(c.sms_consent_status::text, 40), c.sms_consent_at, left(c.sms_consent_source::text, 200), write_attempt.rule,
           smsretry.number_key(retry.business_id, c.phone), left(c.phone, 40),
           coalesce(write_attempt.body, left(l.subject, smsretry.longest_body() + 1)), write_attempt.sent_by, write_attempt.run_id,
           write_attempt.sent_account, write_attempt.segments
    from (select 1) one
    left join public.customers c on c.id = retry.customer_id
    left join public.send_logs l on l.id = retry.send_log_id;
end
$$;

-- ======== schemas/turns/businesses_of_sender.sql ========
-- Up to `most` businesses with a text due that this sender sends, by id round and round from behind `start`, and which of
-- their texts: any, or those of one class. sender_id null: the environment's. met: one of them, and its class, which spares most
-- looks if it is the only one. enable_sort: smsretry.next_in_turn.
create or replace function smsretry.businesses_of_sender(
    sender_id uuid, start uuid, most integer, at timestamptz, met uuid, met_class text, out businesses uuid[], out classes text[]
)
language plpgsql stable set search_path = pg_catalog, pg_temp set enable_sort = off set enable_incremental_sort = off set jit = off as $$
#variable_conflict use_variable
declare
    v_business uuid := start;
    v_wrapped boolean := false;
    v_of record;
    v_classes text[];
begin
    if sender_id is not null and not exists (
        select from smsretry.business_senders b where b.sender_id = sender_id and b.business_id <> met)
    then
        businesses := array[met];
        classes := array[met_class];
        return;
    end if;
    businesses := '{}';
    classes := '{}';
    for v_looks in 1 .. 5000 loop
        exit when cardinality(businesses) >= most;
        if sender_id is null then
            select q.business_id into v_business from public.sms_retry_queue q
            where q.status = 'pending' and q.in_doubt_since is null and q.recover_count < smsretry.suspect_after()
              and (q.business_id, q.message_class) > (v_business, 'transactional')
            order by q.business_id, q.message_class, q.scheduled_for limit 1;
        else
            select b.business_id into v_business from smsretry.business_senders b
            where b.sender_id = sender_id and b.business_id > v_business order by b.sender_id, b.business_id limit 1;
        end if;
        if v_business is null then -- there is none behind: on from the first one
            exit when v_wrapped;
            v_wrapped := true;
            v_business := '00000000-0000-0000-0000-000000000000'; -- which may be one
        end if;
        exit when v_wrapped and v_business > start;
        select * into v_of from smsretry.senders_of(v_business);
        v_classes := array_remove(array[
            case when v_of.marketing is not distinct from sender_id then 'marketing' end,
            case when v_of.transactional is not distinct from sender_id then 'transactional' end], null);
        if smsretry.has_due_text(v_business, v_classes, at) then
            businesses := businesses || v_business;
            classes := classes || case when cardinality(v_classes) = 2 then 'any' else v_classes[1] end;
        end if;
    end loop;
end
$$;

-- ======== schemas/turns/claim_by_sender.sql ========
-- Lock up to limit_count due texts, as smsretry.claim_in_turn, and of each sender no more than it can send soon. Parameters:
-- smsretry.turns_of_senders.
--   ids: in turns · businesses, owners: whose turn it was, and whose sender's · last: of each sender with a rate, the business
--   served last, for smsretry.end_turns_of_senders · complete: whether nobody else has any due
create or replace function smsretry.claim_by_sender(
    limit_count integer, at timestamptz, sender text, per_second double precision, without text[], own boolean,
    out ids uuid[], out businesses uuid[], out owners uuid[], out last jsonb, out complete boolean
)
language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    k_peek constant integer := greatest(4 * limit_count, 200);
    v_turn record;
    v_memory record;
    v_places uuid[];
    v_classes text[];
    v_served uuid;
    v_text record;
    v_owner text;
    v_due boolean;
begin
    ids := '{}';
    last := '{}';
    select t.place, t.after into v_memory from smsretry.turns t
    where t.kind = 'texts' order by t.place limit 1 for update skip locked;
    select * into v_turn from smsretry.turns_of_senders(
        at, coalesce(v_memory.after, md5(concat(clock_timestamp(), pg_backend_pid()))::uuid), 2 * limit_count, k_peek,
        sender, per_second, without, own);
    complete := v_turn.complete;
    -- The businesses of a sender with a rate go round from its own memory, in the place of the first of them.
    select array_agg(o.business order by o.lane, o.behind, o.business), array_agg(o.class order by o.lane, o.behind, o.business),
           array_agg(o.owner order by o.lane, o.behind, o.business), array_agg(o.place order by o.lane, o.behind, o.business)
    into businesses, v_classes, owners, v_places
    from (
        select u.business, u.class, u.owner, first_value(u.place) over w as place, min(u.n) over w as lane,
               coalesce(u.business <= (v_turn.afters ->> u.owner::text)::uuid, false) as behind
        from unnest(v_turn.businesses, v_turn.classes, v_turn.owners, v_turn.places) with ordinality as u (business, class, owner, place, n)
        window w as (partition by case when v_turn.rooms ->> u.owner::text is null then u.n::text else u.owner::text end order by u.n)
    ) o;
    if businesses is null then
        businesses := '{}';
        owners := '{}';
        return;
    end if;
    for v_text in
        select * from smsretry.texts_of_turns(businesses, v_classes, k_peek / cardinality(businesses) + 1, limit_count, at)
    loop
        exit when cardinality(ids) >= limit_count;
        v_owner := owners[v_text.place];
        continue when (v_turn.rooms ->> v_owner)::integer = 0;
        select q.status = 'pending' and q.scheduled_for <= at and q.recover_count < smsretry.suspect_after() and q.in_doubt_since is null
        into v_due from public.sms_retry_queue q where q.id = v_text.id for update skip locked;
        if v_due then
            ids := ids || v_text.id;
            v_served := v_places[v_text.place];
            if v_turn.rooms ->> v_owner is not null then
                v_turn.rooms := v_turn.rooms || jsonb_build_object(v_owner, (v_turn.rooms ->> v_owner)::integer - 1);
                last := last || jsonb_build_object(v_owner, businesses[v_text.place]);
            end if;
        end if;
    end loop;
    if v_turn.seen > limit_count then
        perform smsretry.end_turn('texts', v_memory.place, v_places, v_turn.passed, v_served, cardinality(ids) = limit_count);
    end if;
end
$$;

-- ======== schemas/turns/end_turns_of_senders.sql ========
-- A claim has ended: each of these senders goes on behind the business that was served last. Never waits.
--   last: smsretry.claim_by_sender; sender: the environment's
create or replace function smsretry.end_turns_of_senders(last jsonb, sender text)
returns void language sql set search_path = pg_catalog, pg_temp as $$
    update smsretry.sender_time t
    set after = l.business
    from (
        select coalesce(s.sent_by, end_turns_of_senders.sender) as sent_by, e.value::uuid as business
        from jsonb_each_text(end_turns_of_senders.last) e
        left join smsretry.senders s on s.id = e.key::uuid
    ) l
    where t.sender = l.sent_by and t.after is distinct from l.business
      and t.sender in (
          select f.sender from smsretry.sender_time f where f.sender = l.sent_by for update skip locked)
$$;

-- ======== schemas/turns/has_due_text.sql ========
-- Whether a business has a text of these classes due. One index probe each. The callers have
-- set enable_sort: smsretry.next_in_turn.
create or replace function smsretry.has_due_text(business_id uuid, classes text[], at timestamptz)
returns boolean language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_class text;
    v_due timestamptz;
begin
    foreach v_class in array has_due_text.classes loop
        select q.scheduled_for into v_due from public.sms_retry_queue q
        where q.status = 'pending' and q.in_doubt_since is null and q.recover_count < smsretry.suspect_after()
          and q.business_id = has_due_text.business_id and q.message_class = v_class
        order by q.business_id, q.message_class, q.scheduled_for limit 1;
        if v_due <= has_due_text.at then
            return true;
        end if;
    end loop;
    return false;
end
$$;

-- ======== schemas/turns/next_text.sql ========
-- The next step of smsretry.turns_of_senders: the oldest text of the business and class that follow, and whether it is due.
-- From look 5,001 on: of the known ones, which are due. The callers have
-- set enable_sort: smsretry.next_in_turn.
create or replace function smsretry.next_text(
    business uuid, class text, at timestamptz, known_businesses uuid[], known_classes text[], look integer,
    out business_id uuid, out message_class text, out due boolean
)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    if next_text.look > 5000 then
        business_id := next_text.known_businesses[next_text.look - 5000];
        message_class := next_text.known_classes[next_text.look - 5000];
        due := true;
        return;
    end if;
    select q.business_id, q.message_class, q.scheduled_for <= next_text.at into business_id, message_class, due
    from public.sms_retry_queue q
    where q.status = 'pending' and q.in_doubt_since is null and q.recover_count < smsretry.suspect_after()
      and (q.business_id, q.message_class) > (next_text.business, next_text.class)
    order by q.business_id, q.message_class, q.scheduled_for limit 1;
end
$$;

-- ======== schemas/turns/oldest_texts.sql ========
-- The businesses, and the classes, of the `most` due texts that have waited longest, and how many texts there are; in order of
-- turns behind `start`. enable_sort: smsretry.next_in_turn.
create or replace function smsretry.oldest_texts(
    at timestamptz, start uuid, most integer, out businesses uuid[], out classes text[], out seen bigint
)
language plpgsql stable set search_path = pg_catalog, pg_temp set enable_sort = off set enable_incremental_sort = off set jit = off as $$
begin
    select array_agg(d.business_id order by d.business_id <= start, d.business_id, d.message_class),
           array_agg(d.message_class order by d.business_id <= start, d.business_id, d.message_class), coalesce(sum(d.n), 0)
    into businesses, classes, seen
    from (
        select n.business_id, n.message_class, count(*) as n
        from (select q.business_id, q.message_class from public.sms_retry_queue q
              where q.status = 'pending' and q.in_doubt_since is null and q.scheduled_for <= at and q.recover_count < smsretry.suspect_after()
              order by q.scheduled_for, q.id limit most) n
        group by n.business_id, n.message_class
    ) d;
end
$$;

-- ======== schemas/turns/others_of_sender.sql ========
-- Whether a business of this sender has a text due and none in the claim, which has one of each of `claimed`. Stops at the
-- first. sender_id null: the environment's.
create or replace function smsretry.others_of_sender(sender_id uuid, claimed uuid[], at timestamptz)
returns boolean language sql stable set search_path = pg_catalog, pg_temp as $$
    select exists (
        select from smsretry.businesses_of_sender(
            others_of_sender.sender_id, others_of_sender.claimed[cardinality(others_of_sender.claimed)],
            cardinality(others_of_sender.claimed) + 1, others_of_sender.at, others_of_sender.claimed[1], null) o
        where not o.businesses <@ others_of_sender.claimed)
$$;

-- ======== schemas/turns/sender_room.sql ========
-- How many texts of a sender a claim may take; null: any number. sender_id: of smsretry.senders; null: the environment's, which
-- is `sender` and sends per_second. after: whose turn it was last among the businesses that share it.
--   room: about a second's worth; 0: it is not to be claimed from (`without`), or its time is given away until free_at
create or replace function smsretry.sender_room(
    sender_id uuid, sender text, per_second double precision, without text[], at timestamptz,
    out room integer, out free_at timestamptz, out after uuid
)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    v_sender smsretry.senders;
    v_sent_by text := sender;
    v_rate double precision := per_second;
begin
    if sender_id is not null then
        select * into v_sender from smsretry.senders s where s.id = sender_id;
        v_sent_by := v_sender.sent_by;
        v_rate := case when v_sent_by = sender then least(v_sender.segments_per_second, per_second)
                       else v_sender.segments_per_second end;
    end if;
    if v_sent_by = any (without) then
        room := 0;
        return;
    end if;
    select t.after, t.free_at into after, free_at from smsretry.sender_time t where t.sender = v_sent_by;
    -- Its worker puts these off, which costs no time of the sender.
    if v_sender.paused_at is not null or smsretry.spent_day(v_sender, at) is not null then
        free_at := null;
    -- More than an hour: a rate was set wrong, and lease_sms_time starts over.
    elsif free_at > at + smsretry.claims_ahead() and free_at <= at + interval '1 hour' then
        room := 0;
    else
        free_at := null;
        room := case when v_rate > 0 then greatest(least(v_rate, smsretry.largest_claim()), 1)::integer end;
        -- One is tried, and the others wait for it.
        if sender_id is not null and exists (select from smsretry.circuit c where c.sender = v_sent_by) then
            room := least(room, 3);
        end if;
    end if;
end
$$;

-- ======== schemas/turns/texts_in_turn.sql ========
-- Due texts of these businesses, in turns: the first of each, then the second. Within a business, transactional texts come
-- first, then those whose window closes within the hour. At most `each` of each class of a business. enable_sort: next_in_turn.
--   classes: of each business, any, or those of one class · place: which of the businesses · turn: its first, second …
create or replace function smsretry.texts_in_turn(
    businesses uuid[], each integer, at timestamptz, classes text[] default null, out id uuid, out place bigint, out turn bigint
)
returns setof record language sql stable set search_path = pg_catalog, pg_temp set enable_sort = off set enable_incremental_sort = off set jit = off as $$
    select c.id, b.place, row_number() over (
               partition by b.place order by c.message_class desc, c.closes_soon, c.scheduled_for, c.id)
    from unnest(texts_in_turn.businesses) with ordinality as b (id, place)
    cross join lateral (
        select d.id, d.message_class, d.scheduled_for,
               case when d.window_closes_at between texts_in_turn.at and texts_in_turn.at + interval '1 hour'
                    then d.window_closes_at end as closes_soon
        from (
            (select q.id, q.message_class, q.scheduled_for, q.window_closes_at from public.sms_retry_queue q
             where q.status = 'pending' and q.in_doubt_since is null and q.recover_count < smsretry.suspect_after()
               and coalesce(texts_in_turn.classes[b.place], 'any') <> 'marketing'
               and (q.business_id, q.message_class, q.scheduled_for) >= (b.id, 'transactional', '-infinity')
               and (q.business_id, q.message_class, q.scheduled_for) <= (b.id, 'transactional', texts_in_turn.at)
             order by q.business_id, q.message_class, q.scheduled_for, q.id limit texts_in_turn.each)
            union
            (select q.id, q.message_class, q.scheduled_for, q.window_closes_at from public.sms_retry_queue q
             where q.status = 'pending' and q.in_doubt_since is null and q.recover_count < smsretry.suspect_after()
               and coalesce(texts_in_turn.classes[b.place], q.message_class) in ('any', q.message_class)
               and q.window_closes_at is not null and q.scheduled_for <= texts_in_turn.at
               and (q.business_id, q.window_closes_at) >= (b.id, texts_in_turn.at)
               and (q.business_id, q.window_closes_at) <= (b.id, texts_in_turn.at + interval '1 hour')
             order by q.business_id, q.window_closes_at, q.id limit texts_in_turn.each)
            union
            (select q.id, q.message_class, q.scheduled_for, q.window_closes_at from public.sms_retry_queue q
             where q.status = 'pending' and q.in_doubt_since is null and q.recover_count < smsretry.suspect_after()
               and coalesce(texts_in_turn.classes[b.place], 'any') <> 'transactional'
               and (q.business_id, q.message_class, q.scheduled_for) >= (b.id, 'marketing', '-infinity')
               and (q.business_id, q.message_class, q.scheduled_for) <= (b.id, 'marketing', texts_in_turn.at)
             order by q.business_id, q.message_class, q.scheduled_for, q.id limit texts_in_turn.each)
        ) d
    ) c
$$;

-- ======== schemas/turns/texts_of_turns.sql ========
-- Due texts in turns, and the place of each one's turn: smsretry.texts_in_turn. At first only `each` of a turn, and up to `most`
-- if a few of them have most of what is due.
create or replace function smsretry.texts_of_turns(
    businesses uuid[], classes text[], each integer, most integer, at timestamptz, out id uuid, out place bigint
)
returns setof record language plpgsql stable set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    v_ids uuid[];
    v_places bigint[];
    v_each integer;
begin
    foreach v_each in array array[texts_of_turns.each, texts_of_turns.most] loop
        if v_ids is null or cardinality(v_ids) < texts_of_turns.most and v_each > texts_of_turns.each then
            select array_agg(t.id order by t.turn, t.place), array_agg(t.place order by t.turn, t.place) into v_ids, v_places
            from smsretry.texts_in_turn(texts_of_turns.businesses, v_each, texts_of_turns.at, texts_of_turns.classes) t;
        end if;
    end loop;
    return query select * from unnest(v_ids, v_places);
end
$$;

-- ======== schemas/turns/turns_of_senders.sql ========
-- Whose turn it is among businesses with senders of their own: as smsretry.in_turn for texts, in places behind `start`. A
-- sender with no room is passed over. One with a rate has the place of its business that comes first, and there goes round
-- among all of its businesses, from its own memory, so that none of them depends on where others' turns are.
-- sender, per_second, without: smsretry.sender_room. own false: texts of the environment's sender alone.
--   businesses, classes, owners, places: each a turn. classes: any, or texts of one alone · owners: the sender's id; the zero
--     one: the environment's · places: the business at whose place it is
--   rooms, afters: by owner, smsretry.sender_room · seen: how many texts are due, of the first `peek` · passed: how far was looked, if there were too many looks · complete: whether that is everybody who is due
--   free_at: when the first of the busy senders that were passed over is free
create or replace function smsretry.turns_of_senders(
    at timestamptz, start uuid, most integer, peek integer, sender text, per_second double precision, without text[], own boolean,
    out businesses uuid[], out classes text[], out owners uuid[], out places uuid[], out rooms jsonb, out afters jsonb,
    out seen bigint, out passed uuid, out complete boolean, out free_at timestamptz
)
language plpgsql stable set search_path = pg_catalog, pg_temp set enable_sort = off set enable_incremental_sort = off set jit = off as $$
#variable_conflict use_variable
declare
    k_environment constant uuid := '00000000-0000-0000-0000-000000000000';
    v_known record;
    v_next record;
    v_of record;
    v_room record;
    v_lane record;
    v_owner uuid;
    v_busy uuid[] := '{}';
    v_mixed boolean;
    v_look integer := 0;
    v_last text := 'transactional'; -- the last one: the next step goes to another business
    v_at uuid := start;
    v_wrapped boolean := false;
begin
    businesses := '{}'; classes := '{}'; owners := '{}'; places := '{}'; rooms := '{}'; afters := '{}';
    complete := true;
    select * into v_known from smsretry.oldest_texts(at, start, peek);
    seen := v_known.seen;
    if seen < peek then
        v_look := 5000; -- these are all there are
    end if;
    loop
        v_look := v_look + 1;
        select * into v_next from smsretry.next_text(v_at, v_last, at, v_known.businesses, v_known.classes, v_look);
        exit when v_next.business_id is null and (v_wrapped or v_look > 5000);
        if v_next.business_id is null then
            v_wrapped := true; v_at := k_environment; v_last := '';
            continue;
        end if;
        exit when v_wrapped and v_look <= 5000 and v_next.business_id > start;
        v_at := v_next.business_id;
        v_last := v_next.message_class;
        if v_look = 5000 then
            passed := v_at;
        end if;
        continue when not v_next.due;
        if cardinality(businesses) >= most and seen >= peek then
            complete := false;
            exit;
        end if;
        select * into v_of from smsretry.senders_of(v_at);
        v_owner := coalesce(case v_last when 'marketing' then v_of.marketing else v_of.transactional end, k_environment);
        v_mixed := v_of.marketing is distinct from v_of.transactional;
        if not v_mixed then
            v_last := 'transactional';
        end if;
        continue when not own and v_owner <> k_environment or v_owner = any (v_busy);
        continue when array_position(businesses, v_at) is not null and (not v_mixed or v_look > 5000 and seen >= peek);
        if not rooms ? v_owner::text then
            select * into v_room from smsretry.sender_room(nullif(v_owner, k_environment), sender, per_second, without, at);
            if v_room.room = 0 then
                v_busy := v_busy || v_owner;
                free_at := least(free_at, v_room.free_at);
                continue;
            end if;
            rooms := rooms || jsonb_build_object(v_owner, v_room.room);
            afters := afters || jsonb_build_object(v_owner, coalesce(v_room.after, start));
            if v_room.room > 0 and seen >= peek then
                select * into v_lane from smsretry.businesses_of_sender(
                    nullif(v_owner, k_environment), coalesce(v_room.after, start), least(2 * v_room.room, most), at,
                    v_at, case when v_mixed then v_next.message_class else 'any' end);
                businesses := businesses || v_lane.businesses; classes := classes || v_lane.classes;
                owners := owners || array_fill(v_owner, array[cardinality(v_lane.businesses)]);
                places := places || array_fill(v_at, array[cardinality(v_lane.businesses)]);
            end if;
        end if;
        -- A null is any number.
        continue when rooms ->> v_owner::text is not null and seen >= peek;
        businesses := businesses || v_at; classes := classes || case when v_mixed then v_next.message_class else 'any' end;
        owners := owners || v_owner; places := places || v_at;
    end loop;
    complete := complete and passed is null and free_at is null;
end
$$;

-- ======== schemas/turns/work_in_turn.sql ========
-- Due work of these businesses in turns: at first only `each` of a business, and up to `most` if a few of them have most of
-- it. Kinds and settled: smsretry.in_turn.
create or replace function smsretry.work_in_turn(
    kind text, businesses uuid[], each integer, most integer, at timestamptz, settled timestamptz default null
)
returns uuid[] language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_ids uuid[];
    v_each integer;
begin
    foreach v_each in array array[each, most] loop
        if v_ids is null or cardinality(v_ids) < most and v_each > each then
            v_ids := coalesce(case kind when 'texts' then array(select t.id from smsretry.texts_in_turn(businesses, v_each, at) t order by t.turn, t.place)
                                        else smsretry.others_in_turn(kind, businesses, v_each, at, settled) end, '{}');
        end if;
    end loop;
    return v_ids;
end
$$;

-- ======== schemas/worker/admit_send.sql ========
-- Whether the send of a claimed row may begin now. Parameters and answers: begin_sms_attempt. A text that may not go is
-- ended here, and one whose earlier message may have gone out is put in doubt.
create or replace function smsretry.admit_send(
    retry public.sms_retry_queue, send_before timestamptz, phone text, decided_by text, cap integer, cap_since timestamptz,
    expires_at timestamptz, life interval, sender_id uuid, segments integer,
    out answer text, out why text, out why_code text, out decided_at timestamptz, out reached_at timestamptz
)
language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    v_customer public.customers;
    v_business public.businesses;
    v_log public.send_logs;
    v_key bytea;
    v_sender smsretry.senders;
    v_spent_until timestamptz;
begin
    -- `for share`: an opt-out is either seen here or waits until this send is begun.
    select * into v_customer from public.customers c
    where c.id = retry.customer_id and c.business_id = retry.business_id for share;
    if phone is null then
        perform smsretry.lock_number(retry.business_id, v_customer.phone);
    end if;
    v_key := smsretry.number_key(retry.business_id, v_customer.phone);
    select * into v_business from public.businesses b where b.id = retry.business_id;
    if cap is not null then
        reached_at := smsretry.cap_reached_at(retry.business_id, v_customer.phone, cap, cap_since);
    end if;
    -- `for share`: what finish could not write must not be sent.
    select * into v_log from public.send_logs l
    where l.id = retry.send_log_id and l.business_id = retry.business_id for share;
    decided_at := smsretry.clock(); -- after these locks: waiting for them took time

    if v_customer.id is null or v_log.id is null or v_log.channel::text <> 'sms' then
        answer := 'changed'; -- deleted: the next decision says so
        return;
    end if;
    select r.why, r.why_code into why, why_code
    from smsretry.refusal(
        smsretry.is_sent(v_log.provider_message_id, v_log.status::text), v_customer.sms_consent_status::text, v_key) r;
    if why_code is null and retry.expires_at <= decided_at then
        why := 'Expired before it could be sent';
        why_code := 'expired';
    end if;
    if why_code is not null then
        perform smsretry.close_row(retry, 'cancelled', why, why_code, null, decided_at);
        answer := 'ended';
        return;
    end if;
    retry.expires_at := coalesce(retry.expires_at, expires_at, decided_at + life);
    why := smsretry.put_in_doubt(retry, decided_at);
    if why is not null then
        why_code := (select q.why_code from public.sms_retry_queue q where q.id = retry.id);
    end if;
    v_sender := smsretry.sender_of(retry.business_id, retry.message_class);
    if v_sender.segments_per_day is not null then
        v_spent_until := smsretry.spent_until(v_sender, segments, decided_at);
    end if;
    answer := case
        when why is not null then 'lost'
        when decided_at >= send_before then 'closed'
        when v_customer.phone is distinct from coalesce(phone, v_customer.phone)
            or smsretry.decided_by(v_customer.phone, v_customer.timezone, v_business.timezone, v_business.sms_hours) <> decided_by
            or v_sender.id is distinct from sender_id or v_sender.paused_at is not null
            then 'changed'
        when v_spent_until is not null then 'spent'
        when reached_at is not null then 'capped'
        else 'go'
    end;
    reached_at := coalesce(case when answer = 'spent' then v_spent_until end, reached_at);
end
$$;

-- ======== schemas/worker/answer_sms_call.sql ========
-- Make one call of a worker's: function, and its parameters as JSON by name.
create or replace function smsretry.answer_sms_call(function text, v jsonb)
returns jsonb language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    case answer_sms_call.function
        when 'begin_sms_attempt' then
            return (select to_jsonb(b) from public.begin_sms_attempt(
                retry_id => (v ->> 'retry_id')::uuid, claim_no => (v ->> 'claim_no')::bigint,
                attempt_id => (v ->> 'attempt_id')::uuid, send_before => (v ->> 'send_before')::timestamptz,
                quiet_hours_rule => v ->> 'quiet_hours_rule', first_send => coalesce((v ->> 'first_send')::boolean, false),
                cap => (v ->> 'cap')::integer, cap_since => (v ->> 'cap_since')::timestamptz, phone => v ->> 'phone',
                body => v ->> 'body', sent_by => v ->> 'sent_by', decided_by => v ->> 'decided_by',
                life => (v ->> 'life')::interval, run_id => (v ->> 'run_id')::uuid,
                expires_at => (v ->> 'expires_at')::timestamptz, sender_id => (v ->> 'sender_id')::uuid,
                sent_account => v ->> 'sent_account', segments => (v ->> 'segments')::integer) b);
        when 'finish_sms_attempt' then
            return (select to_jsonb(f) from public.finish_sms_attempt(
                retry_id => (v ->> 'retry_id')::uuid, claim_no => (v ->> 'claim_no')::bigint,
                attempt_id => (v ->> 'attempt_id')::uuid, outcome => v ->> 'outcome', next_status => v ->> 'next_status',
                error => v ->> 'error', error_code => (v ->> 'error_code')::integer, twilio_sid => v ->> 'twilio_sid',
                retry_in => (v ->> 'retry_in')::interval, reason => v ->> 'reason',
                counted => coalesce((v ->> 'counted')::boolean, true), phone => v ->> 'phone',
                opted_out => coalesce((v ->> 'opted_out')::boolean, false), phone_status => v ->> 'phone_status',
                account_refused => coalesce((v ->> 'account_refused')::boolean, false), why_code => v ->> 'why_code') f);
        when 'defer_sms_retry' then
            return to_jsonb(public.defer_sms_retry(
                retry_id => (v ->> 'retry_id')::uuid, claim_no => (v ->> 'claim_no')::bigint,
                until => (v ->> 'until')::timestamptz, reason => v ->> 'reason', why => v ->> 'why',
                life => (v ->> 'life')::interval, window_closes_at => (v ->> 'window_closes_at')::timestamptz,
                expires_at => (v ->> 'expires_at')::timestamptz, why_code => v ->> 'why_code'));
        when 'hold_sms_retry' then
            return to_jsonb(public.hold_sms_retry(
                retry_id => (v ->> 'retry_id')::uuid, claim_no => (v ->> 'claim_no')::bigint, why => v ->> 'why',
                look_in => (v ->> 'look_in')::interval, life => (v ->> 'life')::interval,
                expires_at => (v ->> 'expires_at')::timestamptz, why_code => v ->> 'why_code'));
        when 'end_sms_retry' then
            return to_jsonb(public.end_sms_retry(
                retry_id => (v ->> 'retry_id')::uuid, claim_no => (v ->> 'claim_no')::bigint,
                final_status => v ->> 'final_status', error => v ->> 'error', error_code => (v ->> 'error_code')::integer,
                why_code => v ->> 'why_code'));
        else
            raise exception 'There is no call % in a group', answer_sms_call.function using errcode = 'SR422';
    end case;
end
$$;

-- ======== schemas/worker/begin_sms_attempt.sql ========
-- Just before the request leaves: may it still go? The transaction that reads consent and counts the number's texts also
-- writes the attempt. May be repeated with the same attempt_id.
--   answer: go
--     | lost     another worker has the row, or (why says so) it is now in doubt about an earlier send
--     | changed  number, zone, hours, customer, send log or sender are no longer what the decision was made from: decide again
--     | closed   send_before has come: decide again
--     | capped   the number has had cap texts since cap_since; there is room when the one of reached_at no longer counts
--     | spent    the sender has used its day, which turns over at reached_at
--     | ended    the row is finished; why and why_code say the reason
-- sender_id: of smsretry.senders; null: the environment's. sent_account and sent_by are what the request will name.
-- decided_at: the database's clock. phone and body are kept until the outcome is known. expires_at: when the text
-- is of no more use, if nothing has said so before; otherwise life: how long it is of use from now on.
create or replace function public.begin_sms_attempt(
    retry_id uuid, claim_no bigint, attempt_id uuid, send_before timestamptz, quiet_hours_rule text,
    first_send boolean default false, cap integer default null, cap_since timestamptz default null,
    phone text default null, body text default null, sent_by text default null, decided_by text default null,
    life interval default null, run_id uuid default null, expires_at timestamptz default null,
    sender_id uuid default null, sent_account text default null, segments integer default null
)
returns table (answer text, why text, decided_at timestamptz, reached_at timestamptz, why_code text)
language plpgsql security invoker set search_path = pg_catalog, pg_temp
-- If a long transaction holds the customer or the send log locked, this text waits, and not the worker.
set lock_timeout = '2s' as $$
#variable_conflict use_variable
declare
    v_row public.sms_retry_queue;
begin
    perform smsretry.wait_shortly();
    if claim_no is null or attempt_id is null or send_before is null then
        raise exception 'claim_no, attempt_id and send_before must be given: without them nothing is checked'
            using errcode = 'SR422';
    end if;
    if cap is not null and cap_since is null then
        raise exception 'cap_since is missing: a cap counts the texts since a moment' using errcode = 'SR422';
    end if;
    -- One at a time to a number, or two texts would each be counted without the other.
    perform smsretry.lock_number(q.business_id, phone) from public.sms_retry_queue q where q.id = retry_id;
    v_row := smsretry.fenced(retry_id, claim_no);
    decided_at := smsretry.clock();
    if v_row.id is null or v_row.in_doubt_since is not null or v_row.begun_at is not null and v_row.attempt_id <> attempt_id then
        answer := 'lost';
    elsif v_row.begun_at is not null then
        answer := 'go'; -- the answer to the same call was lost on its way
    else
        select a.answer, a.why, a.why_code, a.decided_at, case when a.answer in ('capped', 'spent') then a.reached_at end
        into answer, why, why_code, decided_at, reached_at
        from smsretry.admit_send(v_row, send_before, phone, decided_by, cap, cap_since, expires_at, life, sender_id, segments) a;
        if answer = 'go' then
            perform smsretry.write_attempt(
                v_row, attempt_id, case when first_send then 0 else v_row.attempt_count + 1 end, decided_at,
                quiet_hours_rule, body, sent_by, run_id, sent_account, segments);
            v_row.begun_at := decided_at;
            v_row.attempt_id := attempt_id;
            v_row.last_attempted_at := decided_at;
            v_row.why := null;
            v_row.why_code := null;
            v_row.held_since := null;
            v_row.recover_count := 0;
            v_row.claimed_by_application := false;
            v_row.expires_at := coalesce(v_row.expires_at, expires_at, decided_at + life);
            perform smsretry.save_row(v_row, decided_at);
        end if;
    end if;
    return next;
end
$$;

-- ======== schemas/worker/claim_due_sms_retries.sql ========
-- For the application's own processor: claim up to limit_count due rows (smsretry.rows_of_claim), business by business in turns
-- (smsretry.in_turn). Within a business, transactional texts come first, then those whose window closes within the hour.
-- Neither doubtful nor suspect rows. The processor begins nothing: if it dies, its claim counts as a send that may have been made.
-- others_wait: a business has a text due and none in this claim.
-- begins: the caller is a worker of version 1.0, which begins each send with begin_sms_attempt, but knows one sender alone. It
-- gets no text of a business that has a sender of its own.
create or replace function public.claim_due_sms_retries(limit_count integer default null, begins boolean default false)
returns setof smsretry.claimed_retry
language plpgsql security invoker set search_path = pg_catalog, pg_temp
-- As on Supabase: a claim whose caller has given up would keep its rows.
set statement_timeout = '8s' as $$
declare
    v_now constant timestamptz := smsretry.clock();
    v_turn record;
    v_claims smsretry.claimed_retry[];
    v_claim smsretry.claimed_retry;
    v_others_wait boolean;
begin
    if begins then
        return query select (jsonb_populate_record(null::smsretry.claimed_retry, t)).*
        from smsretry.claim_texts(limit_count, null, null, '{}', false) t;
        return;
    end if;
    select * into v_turn
    from smsretry.claim_in_turn('texts', smsretry.rows_of_claim(limit_count), v_now);
    v_claims := array(select t from smsretry.take(v_turn.ids, v_now, true) t);
    v_others_wait := not v_turn.complete or exists (
        select from unnest(v_turn.businesses) b where b not in (select c.business_id from unnest(v_claims) c));
    foreach v_claim in array v_claims loop
        v_claim.others_wait := v_others_wait;
        v_claim.sender_others_wait := v_others_wait;
        return next v_claim;
    end loop;
end
$$;

-- ======== schemas/worker/claim_sms_retry.sql ========
-- Claim one pending row by its id, due or not, for the caller who has just queued it. No row: it is not pending, or in
-- doubt. Raises if it cannot be claimed.
create or replace function public.claim_sms_retry(retry_id uuid)
returns setof smsretry.claimed_retry
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
begin
    perform 1 from public.sms_retry_queue q
    where q.id = claim_sms_retry.retry_id and q.status = 'pending' and q.in_doubt_since is null
    for update;
    if found then
        perform smsretry.take_row(claim_sms_retry.retry_id, smsretry.clock(), false);
        return query select r.* from smsretry.claimed_retry r where r.id = claim_sms_retry.retry_id;
    end if;
end
$$;

-- ======== schemas/worker/claim_sms_texts.sql ========
-- For a worker: claim up to limit_count due rows (smsretry.rows_of_claim), business by business in turns (smsretry.in_turn),
-- and of each sender about what it sends in a second. Returns rows of smsretry.claimed_retry in JSON. A sender whose time is given away is passed over. Within a business,
-- transactional texts come first, then those whose window closes within the hour. Neither doubtful nor suspect rows.
-- sender, account, segments_per_second: of the worker's environment, which sends for every business without a sender of its
-- own. Null: it is not known, or as fast as the provider takes them.
--   without: senders whose texts are not to be claimed now
--   others_wait: a business has a text due and none in this claim · sender_others_wait: one with the same sender has
create or replace function public.claim_sms_texts(
    limit_count integer, sender text default null, account text default null,
    segments_per_second double precision default null, without text[] default '{}'
)
returns setof jsonb
language plpgsql security invoker set search_path = pg_catalog, pg_temp
set statement_timeout = '8s' as $$ -- as claim_due_sms_retries
#variable_conflict use_variable
begin
    perform smsretry.note_default_sender(sender, account, segments_per_second);
    return query
    select t from smsretry.claim_texts(limit_count, sender, segments_per_second, coalesce(without, '{}'), true) t;
end
$$;

-- ======== schemas/worker/claim_suspect_sms_retry.sql ========
-- Claim one due suspect row alone, because it may kill its worker, or none. The one whose claims died least often goes
-- first; one that cannot be claimed is passed over. every_account: claim_doubtful_sms_retries.
create or replace function public.claim_suspect_sms_retry(every_account boolean default false)
returns setof smsretry.claimed_retry
language plpgsql security invoker set search_path = pg_catalog, pg_temp
set statement_timeout = '8s' as $$ -- as claim_due_sms_retries
declare
    v_now constant timestamptz := smsretry.clock();
    v_until constant timestamptz := clock_timestamp() + interval '1 second';
    v_id uuid;
begin
    for v_id in
        select q.id from public.sms_retry_queue q
        where q.status = 'pending' and q.recover_count >= smsretry.suspect_after() and q.scheduled_for <= v_now
        order by q.recover_count, q.scheduled_for
        limit 50
        for update skip locked
    loop
        continue when every_account is not true and smsretry.left_elsewhere(v_id);
        return query select * from smsretry.take(array[v_id], v_now);
        exit when found or clock_timestamp() > v_until;
    end loop;
end
$$;

-- ======== schemas/worker/claim_texts.sql ========
-- The claims of due texts by workers, who begin each send: claim_sms_texts. own false: texts of the environment's sender alone.
-- Rows of smsretry.claimed_retry, as JSON: an earlier migration that is applied again drops the view, and knows no such function.
create or replace function smsretry.claim_texts(
    limit_count integer, sender text, per_second double precision, without text[], own boolean
)
returns setof jsonb
language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    v_now constant timestamptz := smsretry.clock();
    v_limit integer := smsretry.rows_of_claim(limit_count);
    v_turn record;
    v_claims smsretry.claimed_retry[];
    v_claim smsretry.claimed_retry;
    v_claimed uuid[];
    v_others_wait boolean;
    v_wait jsonb := '{}';
    v_owner text;
begin
    if exists (select from smsretry.business_senders) then
        select * into v_turn from smsretry.claim_by_sender(v_limit, v_now, sender, per_second, without, own);
    else
        v_limit := least(v_limit, (select r.room from smsretry.sender_room(null, sender, per_second, without, v_now) r));
        select t.*, null::jsonb as last into v_turn from smsretry.claim_in_turn('texts', v_limit, v_now) t;
    end if;
    v_claims := array(select t from smsretry.take(v_turn.ids, v_now) t);
    v_claimed := array(select c.business_id from unnest(v_claims) c);
    v_others_wait := not v_turn.complete or not v_turn.businesses <@ v_claimed;
    foreach v_claim in array v_claims loop
        v_claim.others_wait := v_others_wait;
        v_claim.sender_others_wait := v_others_wait;
        if v_turn.last is not null and v_others_wait then
            v_owner := coalesce(v_claim.sender ->> 'id', '');
            if not v_wait ? v_owner then
                v_wait := v_wait || jsonb_build_object(v_owner, smsretry.others_of_sender(
                    nullif(v_owner, '')::uuid,
                    array(select c.business_id from unnest(v_claims) c where coalesce(c.sender ->> 'id', '') = v_owner), v_now));
            end if;
            v_claim.sender_others_wait := (v_wait ->> v_owner)::boolean;
        end if;
        return next to_jsonb(v_claim);
    end loop;
    if v_turn.last <> '{}' then
        perform smsretry.end_turns_of_senders(v_turn.last, sender);
    end if;
end
$$;

-- ======== schemas/worker/finish_sms_attempt.sql ========
-- The outcome of a begun send, and where its row goes: attempt, row and send log in one transaction. A repeated call changes
-- nothing. applied is false if the claim was lost.
--   outcome → next_status: accepted → completed; rejected, not_sent → pending (in retry_in) or failed; in_doubt → pending
-- counted: whether the send costs an attempt. phone, opted_out, phone_status: smsretry.mark_customer.
create or replace function public.finish_sms_attempt(
    retry_id uuid, claim_no bigint, attempt_id uuid, outcome text, next_status text, error text default null,
    error_code integer default null, twilio_sid text default null, retry_in interval default null,
    reason text default null, counted boolean default true, phone text default null, opted_out boolean default false,
    phone_status text default null, account_refused boolean default false,
    why_code text default null
)
returns table (applied boolean, status text, scheduled_for timestamptz, attempt_count integer)
language plpgsql security invoker set search_path = pg_catalog, pg_temp
set lock_timeout = '2s' as $$ -- as begin_sms_attempt
#variable_conflict use_variable
declare
    v_doubt constant boolean := outcome = 'in_doubt';
    v_settled_by constant text := case when not v_doubt then 'response' end;
    v_now timestamptz;
    v_row public.sms_retry_queue;
    v_number integer;
begin
    perform smsretry.wait_shortly();
    perform smsretry.check_outcome(outcome, next_status, error, retry_in);
    if opted_out then
        perform smsretry.lock_number(q.business_id, phone) from public.sms_retry_queue q where q.id = retry_id;
    end if;
    v_row := smsretry.fenced(retry_id, claim_no);
    v_now := smsretry.clock();
    applied := coalesce(v_row.begun_at is not null and v_row.attempt_id = attempt_id, false);

    if applied then
        update public.sms_send_attempts a
        set finished_at = v_now, outcome = finish_sms_attempt.outcome, error_code = finish_sms_attempt.error_code,
            twilio_sid = finish_sms_attempt.twilio_sid, settled_by = v_settled_by,
            delivery_look_at = case when finish_sms_attempt.twilio_sid is not null then v_now end,
            sent_to = case when v_doubt then a.sent_to end, sent_body = case when v_doubt then a.sent_body end
        where a.id = attempt_id
        returning a.attempt_number into v_number;

        v_row.attempt_count := greatest(v_row.attempt_count, case when counted then v_number end);
        v_row.rate_limit_count := v_row.rate_limit_count + coalesce(reason = 'rate_limit', false)::integer;
        v_row.account_refusal_count := v_row.account_refusal_count + coalesce(account_refused, false)::integer;
        v_row.reason := coalesce(reason, v_row.reason);
        case next_status
            when 'completed' then
                perform smsretry.complete_row(v_row, twilio_sid, v_now);
            when 'failed' then
                perform smsretry.close_row(v_row, 'failed', error, why_code, error_code, v_now);
            else
                v_row.last_error := error;
                v_row.why_code := why_code;
                v_row.error_code := error_code;
                v_row.attempt_id := case when v_doubt then v_row.attempt_id end;
                v_row.in_doubt_since := case when v_doubt then v_now end;
                perform smsretry.put_back(v_row, v_now + retry_in, v_now);
        end case;
        if opted_out or phone_status is not null then
            perform smsretry.mark_customer(v_row, phone, opted_out, phone_status, error_code, v_now, attempt_id);
        end if;
    else
        -- Applied before: the answer to the same call was lost, or the provider's callback was faster.
        applied := exists (
            select 1 from public.sms_send_attempts a
            where a.id = attempt_id and a.retry_id = finish_sms_attempt.retry_id and a.claim_no = finish_sms_attempt.claim_no
              and (a.settled_by = 'callback'
                   or a.outcome = finish_sms_attempt.outcome and a.settled_by is not distinct from v_settled_by));
    end if;
    select q.status, q.scheduled_for, q.attempt_count into status, scheduled_for, attempt_count
    from public.sms_retry_queue q where q.id = retry_id;
    return next;
end
$$;

-- ======== schemas/worker/lease_sms_times.sql ========
-- Make several calls of lease_sms_time as one request, for workers with many senders. leases: [{"sender", "segments",
-- "per_second", "lead"}]. Sorted by sender, so that two requests do not deadlock. What somebody has locked, or what is wrong,
-- gets no answer, and its worker asks for it alone. A locked sender is waited for a moment once, and then hardly at all.
--   place: in the array, from 1
create or replace function public.lease_sms_times(leases jsonb)
returns table (place integer, begins_at timestamptz, asked_at timestamptz)
language plpgsql security invoker set search_path = pg_catalog, pg_temp
set lock_timeout = '200ms' as $$
#variable_conflict use_column
declare
    v_lease record;
begin
    if (jsonb_typeof(lease_sms_times.leases) = 'array' and jsonb_array_length(lease_sms_times.leases) between 1 and 100) is not true then
        raise exception 'leases must be an array of 1 to 100 leases' using errcode = 'SR422';
    end if;
    for v_lease in
        select e.value, e.ordinality::integer as place from jsonb_array_elements(lease_sms_times.leases) with ordinality e
        order by e.value ->> 'sender' collate "C", e.ordinality
    loop
        begin
            return query
            select v_lease.place, l.begins_at, l.asked_at
            from public.lease_sms_time(
                v_lease.value ->> 'sender', (v_lease.value ->> 'segments')::integer,
                (v_lease.value ->> 'per_second')::double precision, (v_lease.value ->> 'lead')::double precision) l;
        exception when others then
            if sqlstate = '55P03' then
                perform set_config('lock_timeout', '10ms', true);
            end if;
        end;
    end loop;
end
$$;

-- ======== schemas/worker/next_sms_due.sql ========
-- In how many seconds a text, or a look for evidence, is due: 0 if one is, null if none waits. Suspect rows do not count. A text
-- whose sender is busy is due shortly before that one is free. sender: of the worker's environment; null: the one that was
-- seen last. without: senders whose texts do not count.
create or replace function public.next_sms_due(sender text default null, without text[] default '{}')
returns double precision language plpgsql stable security invoker
set search_path = pg_catalog, pg_temp set enable_sort = off as $$
#variable_conflict use_variable
declare
    k_from constant uuid := '00000000-0000-0000-0000-000000000000';
    v_now constant timestamptz := smsretry.clock();
    v_due timestamptz;
    v_turn record;
begin
    select q.scheduled_for into v_due from public.sms_retry_queue q
    where q.status = 'pending' and q.in_doubt_since is null and q.recover_count < smsretry.suspect_after()
    order by q.scheduled_for limit 1;
    if v_due <= v_now and (
        cardinality(without) > 0 or exists (select from smsretry.sender_time t where t.free_at > v_now + smsretry.claims_ahead()))
    then
        sender := coalesce(sender, (select d.sent_by from smsretry.default_senders d order by d.seen_at desc limit 1));
        select * into v_turn from smsretry.turns_of_senders(v_now, k_from, 1, 200, sender, null, coalesce(without, '{}'), true);
        if cardinality(v_turn.businesses) = 0 and v_turn.passed is null then
            select least(q.scheduled_for, v_turn.free_at - smsretry.claims_ahead() / 2) into v_due
            from (select min(f.scheduled_for) as scheduled_for from (
                      select q.scheduled_for from public.sms_retry_queue q
                      where q.status = 'pending' and q.in_doubt_since is null and q.recover_count < smsretry.suspect_after()
                        and q.scheduled_for > v_now
                      order by q.scheduled_for limit 1) f) q;
        end if;
    end if;
    select least(v_due, (
        select q.scheduled_for from public.sms_retry_queue q
        where q.status = 'pending' and q.in_doubt_since is not null and q.recover_count < smsretry.suspect_after()
        order by q.scheduled_for limit 1)) into v_due;
    return extract(epoch from greatest(v_due - v_now, interval '0'))
        -- Greatest ignores a null.
        * case when v_due is not null then 1 end;
end
$$;

-- ======== schemas/worker/note_default_sender.sql ========
-- Keep what the sender of a runner's environment is. Notes once an hour that it still is (smsretry.is_environments), or once a
-- minute if another was seen since. Locks no row that is as it was, or all claims would wait for each other.
create or replace function smsretry.note_default_sender(sender text, account text, per_second double precision)
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    v_known smsretry.default_senders;
begin
    if sender is null or account is null then
        return;
    end if;
    select * into v_known from smsretry.default_senders d where d.sent_by = sender;
    if v_known.sent_by is null then
        insert into smsretry.default_senders (sent_by, account, segments_per_second, seen_at)
        values (sender, account, per_second, smsretry.clock()) on conflict do nothing;
    elsif (v_known.account, v_known.segments_per_second) is distinct from (account, per_second)
        or v_known.seen_at < smsretry.clock() - interval '1 hour'
        or v_known.seen_at < smsretry.clock() - interval '1 minute'
            and exists (select from smsretry.default_senders d where d.seen_at > v_known.seen_at)
    then
        update smsretry.default_senders d
        set account = note_default_sender.account, segments_per_second = per_second, seen_at = smsretry.clock()
        where d.sent_by = (select f.sent_by from smsretry.default_senders f where f.sent_by = sender for update skip locked);
    end if;
end
$$;

-- ======== schemas/worker/set_sms_circuit.sql ========
-- Open the circuit breaker of a sender, or close it (why null). why: what is wrong and what to do. sender: whose it is; '': the
-- provider's, which is everybody's. An environment's (smsretry.is_environments) replaces earlier ones of the environment;
-- closing it closes the provider's, too, as workers of version 1.0 expect. business_ids: of these businesses alone; null: of all
-- that the sender sends for, and closing that closes theirs. own: the caller knows it as a sender of the businesses'; if nobody
-- has it any more, nothing is done. Returns whether it is open.
create or replace function public.set_sms_circuit(
    why text, sender text default '', business_ids uuid[] default null, own boolean default false
)
returns boolean language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    v_now constant timestamptz := smsretry.clock();
    v_sender constant text := coalesce(set_sms_circuit.sender, '');
    v_why constant text := left(smsretry.numberless(set_sms_circuit.why), smsretry.longest_reason());
    v_own constant boolean := not smsretry.is_environments(v_sender);
begin
    if set_sms_circuit.own and not v_own then -- it was removed meanwhile, and would count as the environment's
        return false;
    end if;
    if set_sms_circuit.business_ids is not null then
        if v_why is null then
            delete from smsretry.business_circuits b
            where b.business_id = any (set_sms_circuit.business_ids) and smsretry.same_circuit(b.sender, v_sender, v_own);
            return false;
        end if;
        delete from smsretry.business_circuits b where b.tried_at < v_now - interval '1 day';
        insert into smsretry.business_circuits (business_id, sender, opened_at, tried_at, why)
        select distinct i.id, v_sender, v_now, v_now, v_why from unnest(set_sms_circuit.business_ids) as i (id)
        where i.id is not null
        order by i.id -- so that two runs lock them in the same order
        on conflict (business_id, sender) do update set tried_at = excluded.tried_at, why = excluded.why;
        return true;
    end if;
    if v_why is null then
        delete from smsretry.business_circuits b where smsretry.same_circuit(b.sender, v_sender, v_own);
        delete from smsretry.circuit c where smsretry.same_circuit(c.sender, v_sender, v_own);
        return false;
    end if;
    insert into smsretry.circuit (sender, opened_at, why) values (v_sender, v_now, v_why)
    on conflict (sender) do update set why = excluded.why;
    delete from smsretry.circuit c
    where v_sender <> '' and c.sender not in ('', v_sender) and smsretry.same_circuit(c.sender, v_sender, v_own);
    return true;
end
$$;

-- ======== schemas/worker/slow_sms_sender.sql ========
-- The provider asks to go slower with a sender: its time is given away for so many seconds, a quarter of an hour at most, and no
-- claim takes texts of it until then. What is given away already stays so. Returns in how many seconds it is free.
create or replace function public.slow_sms_sender(sender text, seconds double precision)
returns double precision language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    v_now constant timestamptz := smsretry.clock();
    v_until constant timestamptz :=
        v_now + make_interval(secs => least(greatest(coalesce(slow_sms_sender.seconds, 0), 0), 900));
    v_free_at timestamptz;
begin
    if slow_sms_sender.sender is null then
        raise exception 'sender must be given: whose texts go slower' using errcode = 'SR422';
    end if;
    insert into smsretry.sender_time as s (sender, free_at) values (slow_sms_sender.sender, v_until)
    on conflict (sender) do update
    -- More than an hour: a rate was set wrong (lease_sms_time).
    set free_at = case when s.free_at > v_now + interval '1 hour' then v_until else greatest(s.free_at, v_until) end
    returning s.free_at into v_free_at;
    return extract(epoch from v_free_at - v_now);
end
$$;

-- ======== schemas/worker/spent_until.sql ========
-- When the day turns over at the carriers, if the sender has no room left in it for so many segments; null: it has. A text with
-- more segments than a whole day has goes out when nothing else did. Notes on the sender how far it was counted, or each begin
-- of a long day would count all of it; and that it is spent, so that the next claims know, once there is no room for a single
-- segment. Never waits: others in this transaction may hold what the holder of the sender's row wants.
create or replace function smsretry.spent_until(sender smsretry.senders, segments integer, at timestamptz)
returns timestamptz language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    -- By then, the outcome is known of almost all; one that is in doubt counts.
    v_settled constant timestamptz := at - interval '1 minute';
    v_used record;
    v_turns_at timestamptz;
    v_spent_until timestamptz;
begin
    select * into v_used from smsretry.day_used(sender, at, v_settled);
    if v_used.segments + least(coalesce(segments, 1), sender.segments_per_day) > sender.segments_per_day then
        v_turns_at := (smsretry.carriers_day(at)).ends;
    end if;
    v_spent_until := case when v_used.segments >= sender.segments_per_day then v_turns_at end;
    if v_used.afresh > 200 or (v_spent_until, sender.segments_per_day) is distinct from (sender.spent_until, sender.spent_cap)
            and v_spent_until is not null then
        update smsretry.senders s
        set counted_to = case when v_used.afresh > 200 then v_settled else s.counted_to end,
            counted_segments = case when v_used.afresh > 200 then v_used.settled else s.counted_segments end,
            spent_until = coalesce(v_spent_until, s.spent_until),
            spent_cap = case when v_spent_until is not null then sender.segments_per_day else s.spent_cap end
        where s.id = (select f.id from smsretry.senders f where f.id = sender.id for update skip locked);
    end if;
    return v_turns_at;
end
$$;

-- ======== schemas/worker/take.sql ========
-- Claim these rows, which the caller has found pending and locked, and return those that could be claimed. by_application:
-- smsretry.take_row. If a trigger of the application's is slow for one business, or refuses a row, that row stays pending,
-- its business is set apart, and the others are claimed. What there was no time for stays pending, too.
create or replace function smsretry.take(ids uuid[], at timestamptz, by_application boolean default false)
returns setof smsretry.claimed_retry
language plpgsql set search_path = pg_catalog, pg_temp
set lock_timeout = '500ms' -- for what a trigger waits for
-- Without statistics a plan would read whole tables.
set enable_hashjoin = off set enable_mergejoin = off set jit = off as $$
declare
    v_until constant timestamptz := clock_timestamp() + interval '1 second';
    v_order uuid[];
    v_owners uuid[];
    v_apart uuid[];
    v_began timestamptz;
    v_took uuid[] := '{}';
    v_whose uuid[] := '{}';
    v_skip uuid[] := '{}';
    v_tried integer := 0;
    v_state text;
begin
    -- Of a business that is set apart, one row after the others, and another one each time: not all may be slow.
    select array_agg(o.id order by o.apart, o.place), array_agg(o.business_id order by o.apart, o.place),
           array_agg(o.business_id) filter (where o.apart)
    into v_order, v_owners, v_apart
    from (
        select q.id, q.business_id, i.place, s.business_id is not null as apart, s.retry_at,
               row_number() over (partition by q.business_id order by md5(q.id::text || take.at::text)) as nth
        from unnest(take.ids) with ordinality as i (id, place)
        join public.sms_retry_queue q on q.id = i.id
        left join smsretry.set_apart s on s.business_id = q.business_id
    ) o
    where not o.apart or (o.nth = 1 and o.retry_at <= take.at);

    begin
        for n in 1 .. coalesce(cardinality(v_order), 0) loop
            v_began := clock_timestamp();
            exit when v_began > v_until;
            continue when v_owners[n] = any (v_skip);
            v_tried := n;
            if smsretry.take_row(v_order[n], take.at, take.by_application) then
                v_took := v_took || v_order[n];
                v_whose := v_whose || v_owners[n];
            end if;
            if smsretry.took_long(v_began) then
                v_skip := v_skip || v_owners[n];
                perform smsretry.set_business_apart(v_owners[n], v_began, null, take.at);
            elsif v_owners[n] = any (v_apart) then
                delete from smsretry.set_apart s where s.business_id = v_owners[n];
            end if;
        end loop;
        set constraints all immediate; -- what is only asked at the end would undo all of them
    exception
        when query_canceled then
            v_state := sqlstate;
        when others then
            v_state := sqlstate;
    end;
    if v_state = '57014' then
        -- The statement timeout does not start again: only what was quick is repeated.
        perform smsretry.set_business_apart(v_owners[v_tried], v_began, v_state, take.at);
        v_took := smsretry.take_each(v_took, v_whose, take.at, take.by_application);
    elsif v_state is not null then
        v_took := smsretry.take_each(v_order, v_owners, take.at, take.by_application);
    end if;
    return query
    select r.* from smsretry.claimed_retry r where r.id = any (v_took) order by r.scheduled_for, r.id;
end
$$;

-- ======== schemas/doubt/claim_doubtful_sms_retries.sql ========
-- Claim up to limit_count rows in doubt (smsretry.rows_of_claim) whose next look for evidence is due. Businesses take turns,
-- the longest waiting row of each first. Suspect rows are left to claim_suspect_sms_retry.
-- every_account: the caller looks in the account that an attempt names. Workers of version 1.0 do not say so, and get no row
-- whose message may have left from another than theirs.
create or replace function public.claim_doubtful_sms_retries(
    limit_count integer default null, every_account boolean default false
)
returns setof smsretry.claimed_retry
language plpgsql security invoker set search_path = pg_catalog, pg_temp
set statement_timeout = '8s' as $$ -- as claim_due_sms_retries
declare
    v_now constant timestamptz := smsretry.clock();
    v_ids uuid[] := (smsretry.claim_in_turn('doubtful', smsretry.rows_of_claim(limit_count), v_now)).ids;
begin
    if every_account is not true then
        v_ids := array(select i.id from unnest(v_ids) i (id) where not smsretry.left_elsewhere(i.id));
    end if;
    return query select * from smsretry.take(v_ids, v_now);
end
$$;

-- ======== schemas/doubt/left_elsewhere.sql ========
-- Whether a row is in doubt about a message that may have left from another account than the environments': workers of version
-- 1.0 look in theirs alone, and would find nothing.
create or replace function smsretry.left_elsewhere(retry_id uuid)
returns boolean language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    return exists (
        select from public.sms_retry_queue q
        join public.sms_send_attempts a on a.id = q.attempt_id
        where q.id = left_elsewhere.retry_id and q.in_doubt_since is not null
          and case when a.sent_account is not null
                   then not exists (select from smsretry.default_senders d where d.account = a.sent_account)
                   -- It was not written down from where it left.
                   else a.sent_by is null and (smsretry.sender_of(q.business_id, q.message_class)).id is not null end);
end
$$;

-- ======== schemas/consent/businesses_of.sql ========
-- The businesses that have a customer with this number. texted: also those that have texted it. A deleted customer who
-- answers STOP may be imported again tomorrow.
-- senders: only those that send through one of them now, or have texted the number from one (as smsretry.heard_by has them)
create or replace function smsretry.businesses_of(phone text, texted boolean, senders text[] default null)
returns setof uuid language sql stable set search_path = pg_catalog, pg_temp as $$
    select known.id
    from (select c.business_id from public.customers c where c.phone = businesses_of.phone
          union
          select b.id from public.businesses b cross join smsretry.secret
          where businesses_of.texted and exists (
              select 1 from public.sms_send_attempts a
              where a.number_key = smsretry.number_key(b.id, businesses_of.phone))) known (id)
    where businesses_of.senders is null
       or smsretry.sends_through(known.id, businesses_of.senders)
       or smsretry.texted_through(known.id, businesses_of.phone, businesses_of.senders)
    order by 1
$$;

-- ======== schemas/consent/give_back_consent.sql ========
-- Take back, at one business, what a STOP of this number ended before `at`: smsretry.take_back_stop. Nothing changes if the
-- START does not take back every opt-out there, or a STOP to another sender holds (senders: those that heard the START).
-- Returns how many customers have consent again.
create or replace function smsretry.give_back_consent(
    business_id uuid, phone text, number_key bytea, at timestamptz, by_yes boolean, senders text[] default null
)
returns integer language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_ids constant uuid[] := smsretry.lock_customers(give_back_consent.business_id, give_back_consent.phone);
    v_given integer;
begin
    delete from smsretry.unwritten_consents u
    where u.number_key = give_back_consent.number_key and u.consent = 'opted_in' and u.since <= give_back_consent.at;
    -- After the locks: an opt-out may have held them.
    if give_back_consent.senders is not null and smsretry.stopped_elsewhere(
            give_back_consent.business_id, give_back_consent.number_key, give_back_consent.senders)
        or exists (
        select 1
        from (select c.sms_consent_source::text, c.sms_consent_at from public.customers c
              where c.id = any (v_ids) and c.sms_consent_status::text = 'opted_out'
              union all
              select s.source, s.since from smsretry.suppressions s where s.number_key = give_back_consent.number_key
              union all
              select u.source, u.since from smsretry.unwritten_consents u
              where u.number_key = give_back_consent.number_key and u.consent = 'opted_out') as o (source, since)
        where not smsretry.start_takes_back(o.source, give_back_consent.by_yes) or o.since >= give_back_consent.at) then
        -- Each sender's START is kept until all have heard one. A YES leaves a stop in words.
        delete from smsretry.heard_stops h
        where not give_back_consent.by_yes and h.number_key = give_back_consent.number_key
          and h.senders && give_back_consent.senders and h.since < give_back_consent.at;
        return 0;
    end if;
    with given_back as (
        update public.customers c
        set sms_consent_status = case when x.known then x.consent else 'unknown' end,
            sms_consent_at = give_back_consent.at, sms_consent_source = 'inbound_start'
        from (select i.id, t.customer_id is not null as known, t.consent
              from unnest(v_ids) i (id)
              left join smsretry.stopped_consents t on t.customer_id = i.id and t.number_key = give_back_consent.number_key) x
        where c.id = x.id and c.sms_consent_status::text = 'opted_out'
        returning c.sms_consent_status::text as consent)
    select count(*) into v_given from given_back g where g.consent = 'opted_in';
    -- If nobody has consent again, the trigger on customers has lifted nothing.
    perform smsretry.lift(give_back_consent.number_key, give_back_consent.at, true);
    return v_given;
end
$$;

-- ======== schemas/consent/heard_by.sql ========
-- Which senders heard a text that came in, by what the provider's webhook says of it: the service, or the number, in the
-- account. A number may belong to a service, and the provider stops or starts both. '' stands for the environment's sender, and
-- an account for all of its senders, those included that are gone. An environment may have a SID in capitals.
--   senders: null if nobody knows. Then a STOP holds everywhere. So it does while no business has a sender of its own
--   lifts: whether a START counts. It does not if its sender is unknown, or is one of several of the account
create or replace function smsretry.heard_by(number text, service text, account text, out senders text[], out lifts boolean)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_number constant text := nullif(btrim(smsretry.phone_of(heard_by.number)), '');
    v_service constant text := nullif(lower(btrim(heard_by.service)), '');
    v_account constant text := nullif(lower(btrim(heard_by.account)), '');
    v_known record;
begin
    lifts := not exists (select 1 from smsretry.senders);
    if lifts then
        return;
    end if;
    with known as (
        select s.sent_by, s.account, s.sent_by as sender, lower(s.sent_by) in (v_service, v_number) as named from smsretry.senders s
        union all
        select d.sent_by, d.account, x.sender, lower(d.sent_by) in (v_service, v_number)
        from smsretry.default_senders d cross join lateral (values (d.sent_by), ('')) x (sender)
        where x.sender <> '' or smsretry.is_environments(d.sent_by))
    select array_agg(distinct k.sender) filter (where k.named and coalesce(lower(k.account) = v_account, true)) as named,
           array_agg(distinct k.sender) filter (where lower(k.account) = v_account)
               || array_agg(distinct k.account) filter (where lower(k.account) = v_account) as of_account,
           count(distinct k.sent_by) filter (where lower(k.account) = v_account) as in_account,
           bool_or(k.named) as known
    into v_known from known k;
    -- It names a sender of ours and another account, so our table is out of date. Or it names none, and may mean the
    -- environment's, which no run has told yet.
    if v_known.named is null and (v_known.known or not exists (select from smsretry.default_senders)) then
        return;
    end if;
    senders := coalesce(v_known.named, v_known.of_account);
    lifts := v_known.named is not null
        or v_known.in_account = 1 and v_service is null and v_number is null;
end
$$;

-- ======== schemas/consent/keep_stop.sql ========
-- Keep which senders heard a STOP that holds for a number at a business: smsretry.heard_stops. Null: nobody knows.
create or replace function smsretry.keep_stop(number_key bytea, senders text[], since timestamptz)
returns void language sql set search_path = pg_catalog, pg_temp as $$
    insert into smsretry.heard_stops (number_key, senders, since)
    select keep_stop.number_key, keep_stop.senders, keep_stop.since
    where keep_stop.senders is not null and keep_stop.number_key is not null and not exists (
        select 1 from smsretry.heard_stops h
        where h.number_key = keep_stop.number_key and h.senders = keep_stop.senders and h.since >= keep_stop.since)
$$;

-- ======== schemas/consent/lift.sql ========
-- Lift a number's opt-outs from before a moment, and those dated after and_after. by_start: only if a START may.
create or replace function smsretry.lift(
    number_key bytea, before timestamptz, by_start boolean, and_after timestamptz default 'infinity'
)
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    delete from smsretry.suppressions s
    where s.number_key = lift.number_key and (s.since < lift.before or s.since > lift.and_after)
      and (not lift.by_start or smsretry.start_takes_back(s.source));
    delete from smsretry.unwritten_consents u
    where u.number_key = lift.number_key and u.consent = 'opted_out' and (u.since < lift.before or u.since > lift.and_after)
      and (not lift.by_start or smsretry.start_takes_back(u.source));
    delete from smsretry.heard_stops h
    where h.number_key = lift.number_key and (h.since < lift.before or h.since > lift.and_after);
end
$$;

-- ======== schemas/consent/mark_customer.sql ========
-- Record what the provider's refusal says of the number: opted_out ends the consent of everyone at the business who has it,
-- and at those that share the sender of the attempt (smsretry.share_opt_out); phone_status tells the application. It never
-- undoes the outcome that it came with.
create or replace function smsretry.mark_customer(
    retry public.sms_retry_queue, phone text, opted_out boolean, phone_status text, code integer, at timestamptz,
    attempt_id uuid
)
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_source constant text := coalesce('twilio_' || mark_customer.code, 'provider_refusal');
begin
    if mark_customer.opted_out then
        perform smsretry.set_consent(
            retry.business_id, retry.customer_id, mark_customer.phone, 'opted_out', v_source, mark_customer.at);
        perform smsretry.share_opt_out(retry.business_id, mark_customer.phone, a.sent_by, v_source, mark_customer.at)
        from public.sms_send_attempts a where a.id = mark_customer.attempt_id;
    end if;
    if mark_customer.phone_status is not null then
        update public.customers c set phone_status = mark_customer.phone_status
        where c.business_id = retry.business_id and c.phone = mark_customer.phone;
    end if;
exception
    when deadlock_detected or lock_not_available or serialization_failure then
        raise; -- passing: the caller repeats the call
    when others then
        -- The application's checks and triggers may refuse the mark. The provider will refuse the next text, too.
        raise warning 'The customer of row % could not be marked after the provider''s %: %',
            retry.id, mark_customer.code, sqlstate;
end
$$;

-- ======== schemas/consent/mark_words_read.sql ========
-- A number's texts that may mean stop no longer wait for a person; senders: only those that one of them heard, or nobody
-- knows who. Returns how many did.
create or replace function smsretry.mark_words_read(number_key bytea, at timestamptz, senders text[] default null)
returns integer language sql set search_path = pg_catalog, pg_temp as $$
    with seen as (
        update smsretry.inbound_texts t set seen_at = mark_words_read.at
        where t.number_key = mark_words_read.number_key and t.heard = 'words' and t.seen_at is null
          and (mark_words_read.senders is null or t.senders is null or t.senders && mark_words_read.senders)
        returning 1)
    select count(*)::integer from seen
$$;

-- ======== schemas/consent/opt_out.sql ========
-- End consent for everyone who has this number, at one business or at all that have a customer with it. Businesses fail
-- separately: a lock or a rule at one keeps nobody else from opting out. All together wait for locks for one second. What
-- could not be written holds nevertheless (unwritten_consents), and the same call again writes it. If one business is named,
-- its rule's error is raised.
-- texted, senders (those that heard it): as in smsretry.businesses_of. left_only: only where this opt-out could not be
-- written before, whoever sends there now.
--   customers: marked now · cancelled: texts that waited · unmarked: customers who could not be marked
create or replace function smsretry.opt_out(
    phone text, source text, at timestamptz, business_id uuid default null, left_only boolean default false,
    texted boolean default false, senders text[] default null, out customers integer, out cancelled integer, out unmarked integer
)
language plpgsql set search_path = pg_catalog, pg_temp set lock_timeout = '1s' as $$
declare
    v_until constant timestamptz := clock_timestamp() + interval '1 second';
    v_business uuid;
    v_key bytea;
    v_ended record;
begin
    customers := 0;
    cancelled := 0;
    unmarked := 0;
    for v_business in
        select b.id from smsretry.businesses_of(
            opt_out.phone, opt_out.texted, case when not opt_out.left_only then opt_out.senders end) b (id)
        where opt_out.business_id is null or b.id = opt_out.business_id
        order by b.id
    loop
        v_key := (select smsretry.number_key(v_business, opt_out.phone) from smsretry.secret);
        continue when opt_out.left_only and not exists (
            select 1 from smsretry.unwritten_consents u
            where u.number_key = v_key and u.consent = 'opted_out' and u.since = opt_out.at);
        perform smsretry.keep_stop(v_key, opt_out.senders, opt_out.at);
        perform set_config(
            'lock_timeout', greatest(ceil(extract(epoch from v_until - clock_timestamp()) * 1000), 20) || 'ms', true);
        begin
            select * into v_ended
            from smsretry.set_consent(v_business, null, opt_out.phone, 'opted_out', opt_out.source, opt_out.at);
            customers := customers + v_ended.customers;
            cancelled := cancelled + v_ended.cancelled;
        exception when others then
            if v_key is null or (opt_out.business_id is not null and sqlstate not in ('55P03', '40P01')) then
                raise;
            end if;
            raise warning 'The customers of business % could not be marked as opted out yet: %', v_business, sqlstate;
            perform smsretry.keep_unwritten(v_key, v_business, 'opted_out', opt_out.at, opt_out.source);
            select unmarked + count(*) into unmarked from public.customers c
            where c.phone = opt_out.phone and c.business_id = v_business;
        end;
    end loop;
end
$$;

-- ======== schemas/consent/record_inbound_sms.sql ========
-- For the application's webhook: somebody texted one of our numbers (Twilio's From, MessageSid, OptOutType, Body, To,
-- MessagingServiceSid and AccountSid). STOP opts the number out at every business that shares the sender which heard it,
-- because the provider blocks it there; if nobody knows the sender, at every business. START takes back only what STOP to
-- that sender, or the provider's refusal, did; if nobody knows the sender, nothing (smsretry.heard_by).
-- OptOutType (Advanced Opt-Out) decides if it says STOP or START. Otherwise the body does: anything that may mean stop
-- (smsretry.means_stop), or exactly one of the provider's words of START. A text taken for HELP may say stop, not START.
-- Each message is recorded once. Repeated, it only writes what could not be written the first time, as of then.
--   answer: opted_out | opted_in | nothing | already_recorded | sender_unknown (a START that took nothing back)
--   customers: opted out now, or with consent again · cancelled: texts that waited
--   unmarked: customers whose rows are locked; a STOP holds for them too, and the same message again marks them
--   heard: provider (OptOutType) | keyword | words (it may mean stop, and a person should read it) | null
create or replace function public.record_inbound_sms(
    phone text, twilio_sid text, opt_out_type text default null, body text default null, to_number text default null,
    messaging_service_sid text default null, account_sid text default null
)
returns table (answer text, customers integer, cancelled integer, unmarked integer, heard text)
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    v_phone constant text := smsretry.phone_of(record_inbound_sms.phone);
    v_type constant text := coalesce(upper(btrim(left(record_inbound_sms.opt_out_type, 40)) collate "C"), '');
    v_word constant text := upper(btrim(left(record_inbound_sms.body, 40), E' \t\r\n') collate "C");
    v_means text;
    v_said text;
    v_heard text;
    v_heard_at timestamptz := smsretry.clock();
    v_key bytea;
    v_again boolean;
    v_by record;
begin
    if not smsretry.is_message_id(record_inbound_sms.twilio_sid) or record_inbound_sms.phone is null then
        raise exception 'phone must be given, and twilio_sid be the provider''s id of a message'
            using errcode = 'SR422';
    end if;
    if v_type in ('STOP', 'START') then
        v_said := v_type;
        v_heard := 'provider';
    else
        v_means := smsretry.means_stop(record_inbound_sms.body);
        v_said := case when v_means is not null then 'STOP' when v_type = '' and v_word in ('START', 'UNSTOP', 'YES') then 'START' end;
        v_heard := coalesce(v_means, case when v_word = 'YES' then 'yes' else 'keyword' end);
    end if;
    answer := 'nothing';
    customers := 0;
    cancelled := 0;
    unmarked := 0;
    if v_said is null then
        return next;
        return;
    end if;
    v_key := (select smsretry.number_key('00000000-0000-0000-0000-000000000000', v_phone) from smsretry.secret);
    v_by := smsretry.heard_by(
        record_inbound_sms.to_number, record_inbound_sms.messaging_service_sid, record_inbound_sms.account_sid);
    insert into smsretry.inbound_texts (twilio_sid, heard_at, said, heard, number_key, senders)
    values (record_inbound_sms.twilio_sid, v_heard_at, v_said, v_heard, v_key, v_by.senders) on conflict do nothing;
    v_again := not found;
    if v_again then
        select t.said, t.heard_at, t.heard, t.senders into v_said, v_heard_at, v_heard, v_by.senders
        from smsretry.inbound_texts t where t.twilio_sid = record_inbound_sms.twilio_sid;
    end if;
    answer := case when v_again then 'already_recorded' when v_said = 'STOP' then 'opted_out'
                   when v_by.lifts then 'opted_in' else 'sender_unknown' end;
    if v_said = 'STOP' then
        select s.customers, s.cancelled, s.unmarked into customers, cancelled, unmarked
        from smsretry.opt_out(v_phone, case when v_heard = 'words' then 'inbound_words' else 'inbound_stop' end,
                              v_heard_at, null, v_again, true, v_by.senders) s;
    elsif answer <> 'sender_unknown' then
        select s.customers, s.unmarked into customers, unmarked
        from smsretry.take_back_stop(v_phone, v_heard_at, v_again, coalesce(v_heard = 'yes', false), v_by.senders) s;
    end if;
    -- Nobody needs to read what a plain word follows, or what concerns no customer.
    if answer in ('opted_out', 'opted_in')
        and (v_heard in ('provider', 'keyword') or v_heard = 'words' and customers + unmarked = 0) then
        perform smsretry.mark_words_read(v_key, v_heard_at, v_by.senders);
    end if;
    heard := case when v_heard = 'yes' then 'keyword' else v_heard end;
    return next;
end
$$;

-- ======== schemas/consent/share_opt_out.sql ========
-- The provider refused a number for a sender (sent_by of the attempt): it opted out at every business that shares the sender.
-- This locks and writes no other business's customers, so that their locks and triggers decide nothing about this text.
-- unwritten_consents keeps the opt-out. While no business has a sender of its own, each learns of it by its own text.
create or replace function smsretry.share_opt_out(business_id uuid, phone text, sent_by text, source text, at timestamptz)
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_senders text[];
    v_shares record;
begin
    if not exists (select 1 from smsretry.senders) then
        return;
    end if;
    v_senders := array_remove(
        array[share_opt_out.sent_by, case when smsretry.is_environments(share_opt_out.sent_by) then '' end], null);
    for v_shares in
        select b.id, smsretry.number_key(b.id, share_opt_out.phone) as number_key
        from smsretry.businesses_of(share_opt_out.phone, false, v_senders) b (id) cross join smsretry.secret
    loop
        perform smsretry.keep_stop(v_shares.number_key, v_senders, share_opt_out.at);
        if v_shares.id <> share_opt_out.business_id then
            perform smsretry.keep_unwritten(
                v_shares.number_key, v_shares.id, 'opted_out', share_opt_out.at, share_opt_out.source);
        end if;
    end loop;
end
$$;

-- ======== schemas/consent/stopped_elsewhere.sql ========
-- Whether a STOP to another sender than these holds for a number at a business, so that a START to these does not take it
-- back. A sender that serves this business alone speaks for it: it takes back a STOP to one that the business has left.
create or replace function smsretry.stopped_elsewhere(business_id uuid, number_key bytea, senders text[])
returns boolean language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    return exists (
        select 1 from smsretry.heard_stops h
        where h.number_key = stopped_elsewhere.number_key and not h.senders && stopped_elsewhere.senders
          and (smsretry.sends_through(stopped_elsewhere.business_id, h.senders)
               or '' = any (stopped_elsewhere.senders)
               or exists (select 1 from smsretry.senders s join smsretry.business_senders b on b.sender_id = s.id
                          where s.sent_by = any (stopped_elsewhere.senders)
                            and b.business_id <> stopped_elsewhere.business_id)));
end
$$;

-- ======== schemas/consent/take_back_stop.sql ========
-- Somebody texted START: at each business that has a customer with this number, restore the consent that a STOP or the
-- provider's refusal ended before `at`. Other opt-outs stay, and with them everything at that business.
-- stopped_consents says what consent was. Without an entry it becomes unknown, and somebody must ask again.
-- senders: those that heard it (smsretry.heard_by). Only businesses that send through one of them now take note; null: all.
-- by_yes: smsretry.start_takes_back. Separate businesses and left_only: as in smsretry.opt_out.
--   customers: with consent again · unmarked: customers who could not be written
create or replace function smsretry.take_back_stop(
    phone text, at timestamptz, left_only boolean default false, by_yes boolean default false,
    senders text[] default null, out customers integer, out unmarked integer
)
language plpgsql set search_path = pg_catalog, pg_temp set lock_timeout = '1s' as $$
declare
    v_until constant timestamptz := clock_timestamp() + interval '1 second';
    v_business uuid;
    v_key bytea;
begin
    customers := 0;
    unmarked := 0;
    for v_business in
        select b.id from smsretry.businesses_of(take_back_stop.phone, true) b (id)
        where take_back_stop.senders is null or smsretry.sends_through(b.id, take_back_stop.senders)
        order by b.id
    loop
        v_key := smsretry.number_key(v_business, take_back_stop.phone);
        continue when take_back_stop.left_only and not exists (
            select 1 from smsretry.unwritten_consents u
            where u.number_key = v_key and u.consent = 'opted_in' and u.since = take_back_stop.at);
        continue when smsretry.suppressed_since(v_key) is null and not exists (
            select 1 from public.customers c
            where c.phone = take_back_stop.phone and c.business_id = v_business and c.sms_consent_status::text = 'opted_out');
        perform set_config(
            'lock_timeout', greatest(ceil(extract(epoch from v_until - clock_timestamp()) * 1000), 20) || 'ms', true);
        begin
            customers := customers + smsretry.give_back_consent(
                v_business, take_back_stop.phone, v_key, take_back_stop.at, take_back_stop.by_yes, take_back_stop.senders);
        exception when others then
            raise warning 'The START of customers of business % could not be written yet: %', v_business, sqlstate;
            perform smsretry.keep_unwritten(v_key, v_business, 'opted_in', take_back_stop.at, 'inbound_start');
            select unmarked + count(*) into unmarked from public.customers c
            where c.phone = take_back_stop.phone and c.business_id = v_business and c.sms_consent_status::text = 'opted_out';
        end;
    end loop;
end
$$;

-- ======== schemas/delivery/claim_sms_deliveries.sql ========
-- Claim accepted messages without a final delivery status, and undelivered ones whose text awaits a decision. Businesses
-- take turns, the longest waiting message of each first; none younger than first_look, so that the provider's callback may
-- come first. A failure is due at once. The claim lasts for `lease`.
--   without: accounts whose messages stay as they are; '' stands for messages that name none · every_account: as for
--   claim_doubtful_sms_retries
--   failures: undelivered messages of this text, this one included, apart from excused ones · excused: others that were
--   undelivered for what was their sender's · day_turns_at: when the carriers' day turns over · settled: no decision is needed, because the row has not
--   ended with this message, or another row of the text waits · may_have_arrived: another message of it may have
create or replace function public.claim_sms_deliveries(
    limit_count integer default 1000, first_look interval default null, lease interval default '10 minutes',
    without text[] default '{}', every_account boolean default false
)
returns table (
    attempt_id uuid, looks integer, retry_id uuid, business_id uuid, customer_id uuid, send_log_id uuid, twilio_sid text,
    accepted_at timestamptz, delivery_status text, delivery_code integer, failures bigint, attempt_count integer,
    max_attempts integer, expires_at timestamptz, settled boolean, may_have_arrived boolean, claimed_at timestamptz,
    sent_account text, sent_by text, excused bigint, day_turns_at timestamptz
)
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
declare
    k_most constant integer := 10000;
    v_now constant timestamptz := smsretry.clock();
    v_first_look constant interval := coalesce(claim_sms_deliveries.first_look, interval '0');
    v_ids uuid[];
begin
    if (claim_sms_deliveries.limit_count between 1 and k_most and v_first_look >= interval '0'
        and claim_sms_deliveries.lease >= interval '0') is not true then
        raise exception 'limit_count must be 1 to 10000, first_look and lease 0 or more' using errcode = 'SR422';
    end if;
    -- Behind those of such accounts others may wait, so more are looked at.
    v_ids := (smsretry.claim_in_turn(
        'deliveries', case when cardinality(without) > 0 then k_most else limit_count end, v_now, v_now - v_first_look)).ids;
    if cardinality(without) > 0 then
        v_ids := array(
            select u.id from unnest(v_ids) with ordinality as u (id, turn)
            where not exists (select 1 from public.sms_send_attempts a
                              where a.id = u.id and coalesce(a.sent_account, '') = any (claim_sms_deliveries.without))
            order by u.turn limit claim_sms_deliveries.limit_count);
    end if;
    if every_account is not true then
        v_ids := array(
            select u.id from unnest(v_ids) with ordinality as u (id, turn)
            join public.sms_send_attempts a on a.id = u.id
            where a.sent_account is null or a.sent_account in (select d.account from smsretry.default_senders d)
            order by u.turn);
    end if;
    return query
    with taken as (
        update public.sms_send_attempts a
        set delivery_look_at = v_now + claim_sms_deliveries.lease, delivery_looks = a.delivery_looks + 1
        where a.id = any (v_ids)
        returning a.*
    )
    select t.id, t.delivery_looks, q.id, q.business_id, q.customer_id, q.send_log_id, t.twilio_sid,
           t.finished_at, t.delivery_status, t.delivery_code,
           (select count(*) from public.sms_send_attempts a
            -- An array, so that an index finds them without statistics.
            where a.retry_id = any (array(select o.id from public.sms_retry_queue o where o.send_log_id = q.send_log_id))
              and (a.id = t.id or smsretry.is_lost(a.delivery_status) and not a.delivery_excused)),
           greatest(q.attempt_count, t.attempt_number), q.max_attempts, q.expires_at,
           q.status <> 'completed' or l.id is null or smsretry.found_sid(l.provider_message_id) is distinct from t.twilio_sid
               or exists (select 1 from public.sms_retry_queue o
                          where o.send_log_id = q.send_log_id and o.status in ('pending', 'processing')),
           smsretry.may_have_arrived(q.send_log_id, t.id), v_now, t.sent_account, t.sent_by,
           (select count(*) from public.sms_send_attempts a
            where a.retry_id = any (array(select o.id from public.sms_retry_queue o where o.send_log_id = q.send_log_id))
              and a.delivery_excused and a.id <> t.id),
           (smsretry.carriers_day(v_now)).ends
    from unnest(v_ids) with ordinality as u (id, turn)
    join taken t on t.id = u.id
    join public.sms_retry_queue q on q.id = t.retry_id
    left join public.send_logs l on l.id = q.send_log_id
    order by u.turn;
end
$$;

-- ======== schemas/delivery/finish_sms_delivery.sql ========
-- The result of a look at a message: what the provider reports (delivery_status, error_code), and what follows. Repeatable.
--   decision: look_again   nothing final yet; look again in look_in
--           | close        nothing follows: it was delivered, or another message of the text counts
--           | unknown      the provider reported nothing final for long enough
--           | send_again   it did not arrive: the row is queued again, due in retry_in, with every check made anew
--           | give_up      it did not arrive: the row fails with error; opted_out and phone_status are kept for the number
--   counted: whether a message that is sent again was an attempt and a failed delivery. Not if the trouble is its sender's
--   held: whether that is something that a person can mend
--   look_in: with the last two, when to look once more. An undelivered message may still arrive.
--   answer: applied | lost (another look or a callback settled it) | changed (the decision no longer fits, or was applied
--           before: it is looked at again)
create or replace function public.finish_sms_delivery(
    attempt_id uuid, looks integer, decision text, delivery_status text default null, error_code integer default null,
    look_in interval default null, retry_in interval default null, error text default null, opted_out boolean default false,
    phone_status text default null, why_code text default null, counted boolean default true, held boolean default false
)
returns text language plpgsql security invoker set search_path = pg_catalog, pg_temp
set lock_timeout = '2s' as $$ -- as begin_sms_attempt
#variable_conflict use_variable
declare
    v_row public.sms_retry_queue;
    v_attempt public.sms_send_attempts;
    v_now timestamptz;
    v_fails constant boolean := decision in ('send_again', 'give_up');
begin
    if (decision in ('look_again', 'close', 'unknown', 'send_again', 'give_up')) is not true
        or decision = 'look_again' and look_in is null or decision = 'send_again' and retry_in is null
        or v_fails and error is null then
        raise exception 'decision must be look_again (with look_in), close, unknown, send_again (with retry_in and error) or give_up (with error)'
            using errcode = 'SR422';
    end if;
    select * into v_row from public.sms_retry_queue q
    where q.id = (select a.retry_id from public.sms_send_attempts a where a.id = attempt_id)
    for update;
    v_now := smsretry.clock();
    select * into v_attempt from public.sms_send_attempts a where a.id = attempt_id for update;
    if (v_attempt.delivery_looks = looks) is not true then
        return 'lost';
    end if;
    if v_attempt.delivery_look_at is null then -- the answer to the same call was lost on its way, or a callback was faster
        return 'applied';
    end if;
    perform smsretry.record_delivery(
        v_attempt.id, case decision when 'unknown' then 'unknown' else delivery_status end, error_code, v_now);
    select * into v_attempt from public.sms_send_attempts a where a.id = v_attempt.id;
    if v_attempt.delivery_look_at is null then
        return case when v_fails then 'changed' else 'applied' end; -- delivered
    end if;
    if smsretry.is_outdated(v_attempt, v_row, v_fails, decision, delivery_status, v_now) then
        return 'changed';
    end if;
    update public.sms_send_attempts a set delivery_look_at = v_now + look_in where a.id = v_attempt.id;
    if decision = 'send_again' then
        perform smsretry.send_again(v_row, v_attempt, error, why_code, counted, held, v_now + retry_in, v_now);
    elsif decision = 'give_up' then
        perform smsretry.close_row(v_row, 'failed', error, why_code, v_attempt.delivery_code, v_now);
        perform smsretry.tell_delivery(v_row.send_log_id, 'undelivered', v_attempt.twilio_sid, error, v_now);
    end if;
    if opted_out or phone_status is not null then
        -- A begin locks the number before the row. It cannot deadlock with this: it wants a processing row, and this one ended.
        perform smsretry.mark_customer(
            v_row, c.phone, opted_out, finish_sms_delivery.phone_status, v_attempt.delivery_code, v_now, v_attempt.id)
        from public.customers c -- whose number is still the one that the text was sent to
        where c.id = v_row.customer_id and c.business_id = v_row.business_id
          and smsretry.number_key(v_row.business_id, c.phone) = v_attempt.number_key;
    end if;
    return 'applied';
end
$$;

-- ======== schemas/delivery/send_again.sql ========
-- Queue again a text that the provider accepted and that did not arrive. Its send log must say first that it waits, without
-- a message: a log that still says sent would end the text unsent. If it cannot, nothing changes. The caller holds the row
-- locked and has made sure that no other message of the text may arrive. counted, held: finish_sms_delivery.
create or replace function smsretry.send_again(
    retry public.sms_retry_queue, attempt public.sms_send_attempts, error text, why_code text, counted boolean, held boolean,
    due timestamptz, at timestamptz
)
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_trouble text;
begin
    v_trouble := smsretry.tell_waiting(retry.send_log_id, send_again.error, send_again.at);
    if v_trouble is not null then
        raise exception 'Send log % cannot be told that its text waits: %', retry.send_log_id, v_trouble
            using errcode = 'SR409', hint = 'Look at the rules and triggers of send_logs. It is tried again when the lease of this look is over.';
    end if;
    if counted then
        retry.attempt_count := greatest(retry.attempt_count, attempt.attempt_number);
    else
        retry.attempt_count := greatest(attempt.attempt_number - 1, 0);
        update public.sms_send_attempts a set delivery_excused = true where a.id = attempt.id;
    end if;
    retry.last_error := send_again.error;
    retry.error_code := attempt.delivery_code;
    retry.reason := 'twilio_error';
    retry.why := case when not counted then send_again.error end;
    retry.held_since := case when held then send_again.at end;
    retry.why_code := send_again.why_code;
    retry.recover_count := 0;
    retry.reconcile_count := 0;
    perform smsretry.put_back(retry, send_again.due, send_again.at);
end
$$;

-- ======== schemas/senders/add_sms_sender.sql ========
-- For a person: texts of this business, or of one class, go out from this sender from now on. A sender that is known already
-- is shared. Texts that waited because of the one before are due at once; one that is under way ends where it began.
--   account, sent_by: smsretry.sender_problem has their shapes · message_class: null: any; one of a class outranks it
--   segments_per_second, segments_per_day: null: not limited here, or as the others have it who share it
--   replace: take the place of an active sender; a paused one is always replaced · dry_run: check all this, and do nothing
-- Returns the sender, how many businesses use it now, and how many texts became due.
create or replace function public.add_sms_sender(
    business_id uuid, account text, sent_by text, message_class text default null,
    segments_per_second double precision default null, segments_per_day integer default null,
    who text default null, because text default null, replace boolean default false, dry_run boolean default false
)
returns table (sender_id uuid, sender text, businesses integer, released integer)
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    v_class constant text := coalesce(message_class, 'any');
    v_sender smsretry.senders;
    v_had smsretry.senders;
begin
    perform smsretry.check_who_and_why(who, because);
    if v_class not in ('any', 'marketing', 'transactional') then
        raise exception 'message_class must be marketing or transactional; leave it out for both' using errcode = 'SR422';
    end if;
    if not exists (select from public.businesses b where b.id = business_id) then
        raise exception 'There is no business with this id' using errcode = 'SR422';
    end if;
    v_sender := smsretry.keep_sender(account, sent_by, segments_per_second, segments_per_day);
    sender_id := v_sender.id;
    sender := smsretry.shown_sender(v_sender.sent_by);
    select s.* into v_had
    from smsretry.business_senders b join smsretry.senders s on s.id = b.sender_id
    where b.business_id = business_id and b.message_class = v_class for update of b;
    if v_had.id <> v_sender.id and v_had.paused_at is null and replace is not true then
        raise exception 'This business has an active sender for % texts already: % of account %. Replace it (replace => true, or --replace), or remove or pause it first',
            v_class, smsretry.shown_sender(v_had.sent_by), v_had.account using errcode = 'SR422';
    end if;
    if dry_run then
        perform smsretry.forget_unused_senders();
        businesses := cardinality(smsretry.users_of(v_sender.id));
        released := 0;
        return next;
        return;
    end if;
    insert into smsretry.business_senders as b (business_id, message_class, sender_id)
    values (business_id, v_class, v_sender.id)
    on conflict on constraint business_senders_pkey do update set sender_id = excluded.sender_id
    -- Somebody else was faster: it is not known what theirs replaced.
    where b.sender_id is not distinct from v_had.id or b.sender_id = v_sender.id;
    if not found then
        raise exception 'Somebody else gives this business a sender at this moment: look, and give the order again' using errcode = 'SR422';
    end if;
    perform smsretry.note_sender_step(v_sender, 'added', who, because, business_id, v_class);
    perform smsretry.forget_unused_senders();
    businesses := cardinality(smsretry.users_of(v_sender.id));
    released := smsretry.hurry_texts(array[business_id]);
    return next;
end
$$;

-- ======== schemas/senders/change_sms_sender.sql ========
-- For a person: give a sender another rate or cap, for all who share it. Null leaves it as it is; unlimited: names of those
-- that are no longer limited here. named: its id, SID or number. Returns the sender, who uses it, and how many texts became due.
create or replace function public.change_sms_sender(
    named text, segments_per_second double precision default null, segments_per_day integer default null,
    unlimited text[] default '{}', who text default null, because text default null
)
returns table (sender_id uuid, sender text, businesses integer, released integer)
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    v_problem constant text := smsretry.limits_problem(segments_per_second, segments_per_day);
    v_sender smsretry.senders;
begin
    perform smsretry.check_who_and_why(who, because);
    if v_problem is not null then
        raise exception '%', v_problem using errcode = 'SR422';
    end if;
    if (unlimited <@ array['segments_per_second', 'segments_per_day']) is not true
        or num_nonnulls(segments_per_second, segments_per_day) + cardinality(unlimited) = 0 then
        raise exception 'Say what changes: segments_per_second, segments_per_day, or unlimited with their names' using errcode = 'SR422';
    end if;
    v_sender := smsretry.one_sender(named);
    update smsretry.senders s
    set segments_per_second = case when 'segments_per_second' = any (unlimited) then null
                                   else coalesce(segments_per_second, s.segments_per_second) end,
        segments_per_day = case when 'segments_per_day' = any (unlimited) then null
                                else coalesce(segments_per_day, s.segments_per_day) end
    where s.id = v_sender.id;
    if segments_per_second is not null or 'segments_per_second' = any (unlimited) then -- what was given away at the old rate
        update smsretry.sender_time t set free_at = least(t.free_at, smsretry.clock()) where t.sender = v_sender.sent_by;
    end if;
    perform smsretry.note_sender_step(v_sender, 'changed', who, because);
    sender_id := v_sender.id;
    sender := smsretry.shown_sender(v_sender.sent_by);
    businesses := cardinality(smsretry.users_of(v_sender.id));
    released := smsretry.hurry_texts(smsretry.users_of(v_sender.id));
    return next;
end
$$;

-- ======== schemas/senders/close_sender_circuits.sql ========
-- Forget that texts of a sender did not go out: the next one is simply tried.
create or replace function smsretry.close_sender_circuits(sent_by text)
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    delete from smsretry.circuit c where c.sender = close_sender_circuits.sent_by and c.sender <> '';
    delete from smsretry.business_circuits b where b.sender = close_sender_circuits.sent_by and b.sender <> '';
end
$$;

-- ======== schemas/senders/forget_unused_senders.sql ========
-- Delete the senders that no business uses. Attempts keep what they went out from. A circuit goes with its sender, or it
-- would count as one of the environment's. In two steps: what is locked first is looked at again, and whoever is about to
-- share one is not disturbed.
create or replace function smsretry.forget_unused_senders()
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_unused constant uuid[] := array(
        select s.id from smsretry.senders s
        where not exists (select from smsretry.business_senders b where b.sender_id = s.id)
        order by s.id for update skip locked);
    v_sender smsretry.senders;
begin
    for v_sender in
        delete from smsretry.senders s
        where s.id = any (v_unused) and not exists (select from smsretry.business_senders b where b.sender_id = s.id)
        returning s.*
    loop
        if not exists (select from smsretry.senders s where s.sent_by = v_sender.sent_by) then
            perform smsretry.close_sender_circuits(v_sender.sent_by);
        end if;
    end loop;
end
$$;

-- ======== schemas/senders/hurry_texts.sql ========
-- Texts that wait because of their sender are due at once, of these businesses; returns how many. Whether they may go is
-- decided when they are claimed. The order that calls this must not fail or last for their sake: one that somebody has locked,
-- those of a business whose rules refuse it, and what does not fit into three seconds wait for their own time.
create or replace function smsretry.hurry_texts(business_ids uuid[])
returns integer language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_now constant timestamptz := smsretry.clock();
    v_until constant timestamptz := clock_timestamp() + interval '3 seconds';
    v_business uuid;
    v_row public.sms_retry_queue;
    v_texts integer;
    v_all integer := 0;
begin
    foreach v_business in array hurry_texts.business_ids loop
        v_texts := 0;
        begin
            for v_row in
                select q.* from public.sms_retry_queue q
                where q.business_id = v_business and q.status = 'pending' and q.in_doubt_since is null
                  and q.scheduled_for > v_now
                  and q.why_code in ('sender_paused', 'no_credentials', 'day_spent', 'account_refused', 'sending_stopped')
                order by q.id for update skip locked
            loop
                exit when clock_timestamp() > v_until;
                perform smsretry.put_back(v_row, v_now, v_now);
                v_texts := v_texts + 1;
            end loop;
            v_all := v_all + v_texts;
        exception when others then
            raise warning 'The texts of business % wait for their own time: %', v_business, sqlstate;
        end;
    end loop;
    return v_all;
end
$$;

-- ======== schemas/senders/keep_sender.sql ========
-- The sender of this account and address, locked: a new one, or the one that others share already. A shared one keeps its
-- rate and cap; others are refused.
create or replace function smsretry.keep_sender(
    account text, sent_by text, segments_per_second double precision, segments_per_day integer
)
returns smsretry.senders language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    v_problem constant text := coalesce(
        smsretry.sender_problem(account, sent_by), smsretry.limits_problem(segments_per_second, segments_per_day));
    v_sender smsretry.senders;
begin
    if v_problem is not null then
        raise exception '%', v_problem using errcode = 'SR422';
    end if;
    insert into smsretry.senders as s (account, sent_by, segments_per_second, segments_per_day)
    values (account, sent_by, segments_per_second, segments_per_day)
    on conflict on constraint senders_one do update set account = s.account -- locks it
    returning s.* into v_sender;
    if segments_per_second is not null and segments_per_second is distinct from v_sender.segments_per_second
        or segments_per_day is not null and segments_per_day is distinct from v_sender.segments_per_day then
        raise exception 'This sender has another rate or cap already (% a second, % a day): leave both out to share it as it is, or use change_sms_sender',
            coalesce(v_sender.segments_per_second::text, 'no limit'), coalesce(v_sender.segments_per_day::text, 'no limit')
            using errcode = 'SR422';
    end if;
    return v_sender;
end
$$;

-- ======== schemas/senders/note_sender_step.sql ========
-- Keep on record what a person did to a sender.
create or replace function smsretry.note_sender_step(
    sender smsretry.senders, step text, who text, because text, business_id uuid default null, message_class text default null
)
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    insert into smsretry.sender_steps (sender_id, taken_at, step, who, because, account, sent_by, business_id, message_class)
    values (sender.id, smsretry.clock(), note_sender_step.step, note_sender_step.who, note_sender_step.because,
            sender.account, sender.sent_by, note_sender_step.business_id, note_sender_step.message_class);
end
$$;

-- ======== schemas/senders/one_sender.sql ========
-- The sender that a person names by its id, its SID or its number, locked. Refused if there is none, or more than one.
create or replace function smsretry.one_sender(named text)
returns smsretry.senders language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_ids constant uuid[] := array(
        select s.id from smsretry.senders s where s.sent_by = one_sender.named or s.id::text = lower(one_sender.named) limit 2);
    v_sender smsretry.senders;
begin
    select s.* into v_sender from smsretry.senders s where s.id = v_ids[1] for update;
    if v_sender.id is null then
        raise exception 'There is no such sender: sms_senders lists them'
            using errcode = 'SR422', hint = 'The sender of the runners'' environment is set there.';
    end if;
    if cardinality(v_ids) > 1 then
        raise exception 'Two accounts have this sender: name it by its id, as sms_senders lists it' using errcode = 'SR422';
    end if;
    return v_sender;
end
$$;

-- ======== schemas/senders/pause_sms_sender.sql ========
-- For a person: texts of a sender wait, visibly, until it is resumed. One that is under way goes out. named: its id, SID or
-- number. Returns the sender, and how many businesses use it.
create or replace function public.pause_sms_sender(named text, because text, who text)
returns table (sender_id uuid, sender text, businesses integer)
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    v_sender smsretry.senders;
begin
    perform smsretry.check_who_and_why(who, because);
    v_sender := smsretry.one_sender(named);
    update smsretry.senders s
    set paused_at = coalesce(s.paused_at, smsretry.clock()), paused_because = because
    where s.id = v_sender.id;
    perform smsretry.note_sender_step(v_sender, 'paused', who, because);
    sender_id := v_sender.id;
    sender := smsretry.shown_sender(v_sender.sent_by);
    businesses := cardinality(smsretry.users_of(v_sender.id));
    return next;
end
$$;

-- ======== schemas/senders/remove_sms_sender.sql ========
-- For a person: a business's texts go out from the sender of the runners' environment again; those of a class, from the
-- business's sender for any class if it has one. Texts that waited because of the sender are due at once. The sender itself
-- goes when nobody uses it. Returns the sender, how many businesses still use it, and how many texts became due.
create or replace function public.remove_sms_sender(
    business_id uuid, message_class text default null, who text default null, because text default null
)
returns table (sender_id uuid, sender text, businesses integer, released integer)
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    v_class constant text := coalesce(message_class, 'any');
    v_sender smsretry.senders;
begin
    perform smsretry.check_who_and_why(who, because);
    select s.* into v_sender
    from smsretry.business_senders b join smsretry.senders s on s.id = b.sender_id
    where b.business_id = business_id and b.message_class = v_class for update of s, b;
    if v_sender.id is null then
        raise exception 'This business has no sender of its own for % texts', v_class
            using errcode = 'SR422', hint = 'sms_senders lists them.';
    end if;
    delete from smsretry.business_senders b where b.business_id = business_id and b.message_class = v_class;
    perform smsretry.note_sender_step(v_sender, 'removed', who, because, business_id, v_class);
    perform smsretry.forget_unused_senders();
    sender_id := v_sender.id;
    sender := smsretry.shown_sender(v_sender.sent_by);
    businesses := cardinality(smsretry.users_of(v_sender.id));
    released := smsretry.hurry_texts(array[business_id]);
    return next;
end
$$;

-- ======== schemas/senders/resume_sms_sender.sql ========
-- For a person: what was wrong with a sender is mended. Its pause ends, its circuit closes, and its texts that waited are due
-- at once. named: its id, SID or number. Returns the sender, how many businesses use it, and how many texts became due.
create or replace function public.resume_sms_sender(named text, because text, who text)
returns table (sender_id uuid, sender text, businesses integer, released integer)
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    v_sender smsretry.senders;
begin
    perform smsretry.check_who_and_why(who, because);
    v_sender := smsretry.one_sender(named);
    update smsretry.senders s set paused_at = null, paused_because = null where s.id = v_sender.id;
    perform smsretry.close_sender_circuits(v_sender.sent_by);
    perform smsretry.note_sender_step(v_sender, 'resumed', who, because);
    sender_id := v_sender.id;
    sender := smsretry.shown_sender(v_sender.sent_by);
    businesses := cardinality(smsretry.users_of(v_sender.id));
    released := smsretry.hurry_texts(smsretry.users_of(v_sender.id));
    return next;
end
$$;

-- ======== schemas/senders/sms_senders.sql ========
-- For a person: the senders, in pages (after the id of the last), and on the first page that of the runners' environment
-- (sender_id null), as far as a run has told it. business_id: only those that text for it. sender: as people see it; sent_by:
-- all of it, if with_numbers.
--   used_today: of segments_per_day, until day_ends_at · stopped_…: its circuit · businesses: how many use it; the
--   environment's: how many have texts there · used_by: 20 of them, those with the most texts first · held: their texts that
--   wait for a person · oldest: the due time of the oldest due text · steps: what people did to it, the last five
create or replace function public.sms_senders(
    after_id uuid default null, row_limit integer default null, with_numbers boolean default false, business_id uuid default null
)
returns table (
    sender_id uuid, account text, sender text, sent_by text, segments_per_second double precision, segments_per_day integer,
    used_today bigint, day_ends_at timestamptz, paused_at timestamptz, paused_because text, stopped_at timestamptz,
    stopped_because text, businesses bigint, used_by jsonb, due bigint, waiting bigint, held bigint, oldest timestamptz, steps jsonb,
    asked_at timestamptz
)
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    v_now constant timestamptz := smsretry.clock();
    v_limit constant integer := greatest(smsretry.rows_of_claim(coalesce(sms_senders.row_limit, smsretry.largest_claim())), 1);
begin
    return query
    with listed as (
        (select s.id, s.account, s.sent_by, s.segments_per_second, s.segments_per_day, s.paused_at, s.paused_because
         from smsretry.senders s where s.id > coalesce(sms_senders.after_id, '00000000-0000-0000-0000-000000000000')
           and (sms_senders.business_id is null or exists (
               select from smsretry.business_senders b where b.sender_id = s.id and b.business_id = sms_senders.business_id))
         order by s.id limit v_limit)
        union all
        (select null, d.account, d.sent_by, d.segments_per_second, null, null, null
         from (select 1) one left join smsretry.default_senders d on true
         where sms_senders.after_id is null and (sms_senders.business_id is null or (
             select o.marketing is null or o.transactional is null from smsretry.senders_of(sms_senders.business_id) o))
         order by d.seen_at desc nulls last limit 1)
    ),
    users as (
        select b.sender_id, b.business_id, b.message_class from smsretry.business_senders b
        where b.sender_id in (select l.id from listed l) and (b.message_class = 'any' or not exists ( -- the same for all its texts
              select from smsretry.business_senders o where (o.business_id, o.sender_id, o.message_class) = (b.business_id, b.sender_id, 'any')))
    ),
    texts as materialized (
        select t.* from smsretry.texts_by_sender(
            case when sms_senders.after_id is not null then array(select u.business_id from users u) end, v_now) t
    ),
    told as (
        select coalesce(u.sender_id, t.sender_id) as of_sender, coalesce(u.business_id, t.business_id) as business_id,
               coalesce(u.message_class, 'any') as message_class, coalesce(sum(t.due), 0) as due,
               coalesce(sum(t.waiting), 0) as waiting, coalesce(sum(t.held), 0) as held, min(t.oldest) as oldest,
               min(t.why_code) as why_code, min(t.why) as why
        from users u
        full join texts t on t.sender_id = u.sender_id and t.business_id = u.business_id and u.message_class in ('any', t.message_class)
        group by 1, 2, 3
    )
    select l.id, l.account, smsretry.shown_sender(l.sent_by), case when sms_senders.with_numbers then l.sent_by end,
           l.segments_per_second, l.segments_per_day,
           case when l.segments_per_day is not null then (
               select (smsretry.day_used(s, v_now)).segments from smsretry.senders s where s.id = l.id) end,
           (smsretry.carriers_day(v_now)).ends,
           l.paused_at, smsretry.numberless(l.paused_because), c.opened_at, c.why, n.businesses, coalesce(n.used_by, '[]'),
           n.due::bigint, n.waiting::bigint, n.held::bigint, n.oldest,
           coalesce((select jsonb_agg(jsonb_build_object('taken_at', t.taken_at, 'step', t.step, 'who', t.who, 'because', t.because))
                     from (select x.* from smsretry.sender_steps x where x.sender_id = l.id order by x.taken_at desc limit 5) t), '[]'),
           v_now
    from listed l
    left join lateral (select o.opened_at, o.why from smsretry.circuits() o
                       where case when l.id is null then not o.own else o.sender = l.sent_by end limit 1) c on true
    cross join lateral (
        select count(distinct t.business_id) as businesses, coalesce(sum(t.due), 0) as due, coalesce(sum(t.waiting), 0) as waiting,
               coalesce(sum(t.held), 0) as held, min(t.oldest) as oldest,
               jsonb_agg(jsonb_build_object(
                   'business_id', t.business_id, 'business', left(b.name, 200), 'message_class', t.message_class, 'due', t.due,
                   'waiting', t.waiting, 'held', t.held, 'why_code', t.why_code, 'why', t.why)
                   order by t.place) filter (where t.place <= 20) as used_by
        from (select o.*, row_number() over (order by o.business_id = sms_senders.business_id desc, o.held desc, o.due desc, o.waiting desc, o.business_id, o.message_class) as place
              from told o where o.of_sender is not distinct from l.id) t
        left join public.businesses b on b.id = t.business_id
    ) n
    order by l.id nulls first;
end
$$;

-- ======== schemas/senders/texts_by_sender.sql ========
-- The waiting texts of these businesses (null: of all), counted by sender, business and class; sender_id null: the
-- environment's. oldest: the due time of the oldest that is due. why: of most of those that wait because of their sender.
create or replace function smsretry.texts_by_sender(business_ids uuid[], at timestamptz)
returns table (
    sender_id uuid, business_id uuid, message_class text, due bigint, waiting bigint, held bigint, oldest timestamptz,
    why_code text, why text
)
language plpgsql stable set search_path = pg_catalog, pg_temp
-- A generic plan would read the whole table.
set plan_cache_mode = force_custom_plan as $$
begin
    return query
    select (smsretry.sender_of(t.business_id, t.message_class)).id, t.*
    from (
        select q.business_id, q.message_class,
               count(*) filter (where q.held_since is null and q.scheduled_for <= texts_by_sender.at),
               count(*) filter (where q.held_since is null and q.scheduled_for > texts_by_sender.at),
               count(*) filter (where q.held_since is not null),
               min(q.scheduled_for) filter (where q.held_since is null and q.scheduled_for <= texts_by_sender.at),
               mode() within group (order by q.why_code) filter (
                   where q.why_code in ('sender_paused', 'no_credentials', 'day_spent', 'account_refused', 'sending_stopped')),
               mode() within group (order by left(smsretry.numberless(coalesce(q.why, q.last_error)), 200)) filter (
                   where q.why_code in ('sender_paused', 'no_credentials', 'day_spent', 'account_refused', 'sending_stopped'))
        from public.sms_retry_queue q
        where q.status = 'pending' and q.in_doubt_since is null
          and (texts_by_sender.business_ids is null or q.business_id = any (texts_by_sender.business_ids))
        group by q.business_id, q.message_class
    ) t;
end
$$;

-- ======== schemas/senders/users_of.sql ========
-- The businesses that use a sender.
create or replace function smsretry.users_of(sender_id uuid)
returns uuid[] language sql stable set search_path = pg_catalog, pg_temp as $$
    select coalesce(array_agg(distinct b.business_id), '{}') from smsretry.business_senders b where b.sender_id = users_of.sender_id
$$;

-- ======== drop smsretry.scheduled_on_record ========
drop view if exists smsretry.scheduled_on_record;

-- ======== schemas/records/scheduled_on_record.sql ========
-- A scheduled send without a text, as explain_sms shows it, in the columns of smsretry.text_on_record. retry_id: its own id.
-- Times and classes that the application wrote are shown as far as they are valid.
create or replace view smsretry.scheduled_on_record with (security_invoker = true) as
select s.id as retry_id, s.business_id, left(b.name, 200) as business, s.customer_id, null::uuid as send_log_id,
       smsretry.masked(c.phone) as number, left(c.timezone, 100) as timezone, left(b.timezone, 100) as business_timezone,
       case s.message_class when 'transactional' then 'transactional' else 'marketing' end as message_class,
       case when s.status = 'scheduled' and (s.held_since is not null or h.scheduled_id is not null) then 'held' else s.status end as state,
       greatest(least(coalesce(s.held_since, case s.status when 'scheduled' then h.held_since end, s.updated_at, smsretry.clock()),
                      k.last), k.first) as since,
       left(smsretry.numberless(case when s.status = 'scheduled' then coalesce(h.why, s.why) else s.why end), smsretry.longest_reason()) as why,
       null::integer as code,
       case when s.status = 'scheduled' and s.scheduled_for is not null then least(greatest(s.scheduled_for, s.look_at, h.look_at, k.first), k.last) end as next_at,
       case when s.not_after between k.first and k.last then s.not_after end as expires_at,
       0 as attempts, 3 as max_attempts, greatest(least(coalesce(s.created_at, smsretry.clock()), k.last), k.first) as queued_at,
       left(c.sms_consent_status::text, 40) as consent, smsretry.on_calendar(c.sms_consent_at) as consent_at,
       left(smsretry.numberless(c.sms_consent_source), 200) as consent_source,
       smsretry.on_calendar(smsretry.suppressed_since(smsretry.number_key(s.business_id, c.phone))) as suppressed_since,
       left(smsretry.numberless(c.phone_status::text), 40) as phone_status, null::text as send_log_status, null::text as sid,
       '[]'::jsonb as history, '[]'::jsonb as steps,
       case when s.status = 'scheduled' then array['cancel_sms_retries'] else '{}' end::text[] as can,
       smsretry.clock() as asked_at,
       smsretry.unread_stop(c.phone) as stop_sid,
       case when s.status = 'scheduled' and h.scheduled_id is not null then 'row_refused' else s.why_code end as why_code,
       case when o.id is not null then smsretry.name_of_sender(o) end as sender_name,
       smsretry.shown_sender(case when o.id is null then d.sent_by else o.sent_by end) as sender, coalesce(o.account, d.account) as account
from public.scheduled_sends s
cross join (select lower(smsretry.century()) as first, upper(smsretry.century()) as last) k
left join smsretry.held_sends h on h.scheduled_id = s.id
left join public.businesses b on b.id = s.business_id
left join public.customers c on c.id = s.customer_id and c.business_id = s.business_id
left join lateral smsretry.sender_of(s.business_id, s.message_class) o on true
left join lateral (select e.sent_by, e.account from smsretry.default_senders e where o.id is null order by e.seen_at desc limit 1) d on true
where s.send_log_id is null and s.status in ('scheduled', 'cancelled', 'failed');

grant select on smsretry.scheduled_on_record to service_role;

-- ======== drop smsretry.text_on_record ========
drop view if exists smsretry.text_on_record;

-- ======== schemas/records/text_on_record.sql ========
-- A text and all that is known of it, as explain_sms shows it. Holds only the last four digits of a number, also where the
-- application wrote freely. security_invoker, so that row level security is the reader's.
--   state: smsretry.text_state · since: when that began · next_at: when it is looked at again · history: its attempts, and
--   the one it is in doubt about · steps: what people did · can: the calls that help · stop_sid: smsretry.unread_stop
--   sender, account: what it goes out from, as people see it · sender_name: smsretry.name_of_sender; null: the environment's
create or replace view smsretry.text_on_record with (security_invoker = true) as
select q.id as retry_id, q.business_id, left(b.name, 200) as business, q.customer_id, q.send_log_id,
       smsretry.masked(c.phone) as number, left(c.timezone, 100) as timezone, left(b.timezone, 100) as business_timezone,
       q.message_class, smsretry.text_state(q, smsretry.clock()) as state,
       coalesce(q.in_doubt_since, q.held_since, q.updated_at) as since,
       left(smsretry.numberless(
           case when q.status in ('failed', 'cancelled') then q.last_error else coalesce(q.why, q.last_error) end), smsretry.longest_reason()) as why,
       q.error_code as code, case when q.status = 'pending' then q.scheduled_for end as next_at, q.expires_at,
       q.attempt_count as attempts, q.max_attempts, q.created_at as queued_at,
       left(c.sms_consent_status::text, 40) as consent, smsretry.on_calendar(c.sms_consent_at) as consent_at,
       left(smsretry.numberless(c.sms_consent_source), 200) as consent_source,
       smsretry.on_calendar(smsretry.suppressed_since(smsretry.number_key(q.business_id, c.phone))) as suppressed_since,
       left(smsretry.numberless(c.phone_status::text), 40) as phone_status,
       left(smsretry.numberless(l.status::text), 40) as send_log_status,
       left(smsretry.found_sid(l.provider_message_id), 40) as sid,
       coalesce((select jsonb_agg(jsonb_build_object(
                     'begun_at', a.begun_at, 'finished_at', a.finished_at, 'number', a.attempt_number,
                     'outcome', coalesce(a.outcome, 'under_way'), 'settled_by', a.settled_by, 'code', a.error_code,
                     'sid', a.twilio_sid, 'rule', a.quiet_hours_rule, 'consent', a.consent_status,
                     'consent_at', smsretry.on_calendar(a.consent_at), 'consent_source', left(smsretry.numberless(a.consent_source), 200),
                     'worker_died', a.worker_died, 'run_id', a.run_id, 'delivery', a.delivery_status,
                     'delivery_code', a.delivery_code, 'delivery_at', a.delivery_at,
                     'sender', smsretry.shown_sender(a.sent_by), 'account', a.sent_account) order by a.begun_at)
                 from public.sms_send_attempts a where a.retry_id = q.id or a.id = q.attempt_id), '[]') as history,
       coalesce((select jsonb_agg(jsonb_build_object(
                     'taken_at', t.taken_at, 'step', t.step, 'who', t.who, 'because', t.because) order by t.taken_at)
                 from smsretry.steps t where t.retry_id = q.id), '[]') as steps,
       case
           when q.status = 'completed' or l.id is null or c.id is null then '{}'
           when q.status in ('failed', 'cancelled') then
               case when smsretry.is_sent(l.provider_message_id, l.status::text)
                         and not smsretry.is_undelivered(l.id, l.provider_message_id) then '{}'
                    when smsretry.is_unsettled(q.id) then array['resolve_sms_doubt']
                    else array['requeue_failed_sms'] end
           when q.in_doubt_since is not null and q.status = 'pending' then array['resolve_sms_doubt']
           when q.status = 'pending' then array['cancel_sms_retries']
           else '{}'
       end::text[] as can,
       smsretry.clock() as asked_at,
       smsretry.unread_stop(c.phone) as stop_sid, q.why_code,
       case when o.id is not null then smsretry.name_of_sender(o) end as sender_name,
       smsretry.shown_sender(case when o.id is null then d.sent_by else o.sent_by end) as sender, coalesce(o.account, d.account) as account
from public.sms_retry_queue q
left join public.businesses b on b.id = q.business_id
left join public.customers c on c.id = q.customer_id
left join public.send_logs l on l.id = q.send_log_id
left join lateral smsretry.sender_of(q.business_id, q.message_class) o on true
left join lateral (select e.sent_by, e.account from smsretry.default_senders e where o.id is null order by e.seen_at desc limit 1) d on true;

grant select on smsretry.text_on_record to service_role;

-- ======== schemas/desk/explain_sms.sql ========
-- For a person: what happened to a text, why, and what comes next; newest first. Found by exactly one of row, send log,
-- customer, number, or last digits (three at least) at a business. A scheduled send without a text is found by its own id or
-- its customer. Columns: smsretry.text_on_record.
create or replace function public.explain_sms(
    retry_id uuid default null, send_log_id uuid default null, customer_id uuid default null, phone text default null,
    business_id uuid default null, last_digits text default null, row_limit integer default 20
)
returns setof smsretry.text_on_record
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
-- A generic plan would read the whole table.
set plan_cache_mode = force_custom_plan as $$
#variable_conflict use_variable
declare
    v_people uuid[];
    v_ids uuid[];
    v_scheduled uuid[];
begin
    if num_nonnulls(retry_id, send_log_id, customer_id, phone, last_digits) <> 1
        or last_digits is not null and (business_id is null or last_digits !~ '^[0-9]{3,15}$')
        or (row_limit between 1 and 200) is not true then
        raise exception 'Say which text, in one way: retry_id, send_log_id, customer_id, phone, or business_id with last_digits (3 digits or more)'
            using errcode = 'SR422';
    end if;
    v_people := case
        when customer_id is not null then array[customer_id]
        when phone is not null then array(select c.id from public.customers c where c.phone = phone)
        when last_digits is not null then array(
            select c.id from public.customers c
            where c.business_id = business_id and c.phone like '%' || last_digits)
    end;
    v_ids := array(
        select q.id from public.sms_retry_queue q
        where (retry_id is null or q.id = retry_id)
          and (send_log_id is null or q.send_log_id = send_log_id)
          and (v_people is null or q.customer_id = any (v_people))
          and (business_id is null or q.business_id = business_id)
        order by q.created_at desc, q.id
        limit row_limit);
    v_scheduled := array(
        select s.id from public.scheduled_sends s
        where s.send_log_id is null and s.status in ('scheduled', 'cancelled', 'failed')
          and (retry_id is null or s.id = retry_id)
          and (send_log_id is null or s.id = send_log_id)
          and (v_people is null or s.customer_id = any (v_people))
          and (business_id is null or s.business_id = business_id)
        order by s.created_at desc, s.id
        limit row_limit);
    return query
    select e.* from (
        select r.* from smsretry.text_on_record r where r.retry_id = any (v_ids)
        union all
        select p.* from smsretry.scheduled_on_record p where p.retry_id = any (v_scheduled)
    ) e
    order by e.queued_at desc, e.retry_id
    limit row_limit;
end
$$;

-- ======== schemas/desk/preview_sms_retries.sql ========
-- Waiting texts and scheduled sends as a claim would return them now, without claiming. Either those due by `until`, in
-- pages (after the due time and id of the last row), or these rows by id. Each with what its begin would find now:
--   refused, refused_code: smsretry.refusal · doubted: smsretry.earlier_doubt
--   texts_at: when the texts that count against a cap reached the number, within cap_window, newest first
create or replace function public.preview_sms_retries(
    until timestamptz default null, after_due timestamptz default null, after_id uuid default null,
    retry_ids uuid[] default null, row_limit integer default null, cap_window interval default null
)
returns setof smsretry.claimed_retry
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp as $$
declare
    v_limit constant integer := greatest(smsretry.rows_of_claim(coalesce(preview_sms_retries.row_limit, smsretry.largest_claim())), 1);
    v_ids uuid[];
    v_claim smsretry.claimed_retry;
    v_at timestamptz;
begin
    if num_nonnulls(preview_sms_retries.until, preview_sms_retries.retry_ids) <> 1 then
        raise exception 'until or retry_ids must be given: which texts to preview' using errcode = 'SR422';
    end if;
    v_ids := array(
        select w.id from (
            (select q.id, q.scheduled_for from public.sms_retry_queue q
             where q.status = 'pending' and q.in_doubt_since is null
               and (preview_sms_retries.retry_ids is null or q.id = any (preview_sms_retries.retry_ids))
               and (preview_sms_retries.until is null or q.scheduled_for <= preview_sms_retries.until)
               and (preview_sms_retries.after_due is null
                    or (q.scheduled_for, q.id) > (preview_sms_retries.after_due, preview_sms_retries.after_id))
             order by q.scheduled_for, q.id limit v_limit)
            union all
            (select s.id, s.scheduled_for from public.scheduled_sends s
             where s.status = 'scheduled'
               and (preview_sms_retries.retry_ids is null or s.id = any (preview_sms_retries.retry_ids))
               and (preview_sms_retries.until is null or s.scheduled_for <= preview_sms_retries.until)
               and (preview_sms_retries.after_due is null
                    or (s.scheduled_for, s.id) > (preview_sms_retries.after_due, preview_sms_retries.after_id))
             order by s.scheduled_for, s.id limit v_limit)
        ) w
        order by w.scheduled_for, w.id
        limit v_limit);
    for v_claim in
        select r.* from smsretry.claimed_retry r where r.id = any (v_ids)
        union all
        select s.* from smsretry.scheduled_claim s where s.id = any (v_ids)
        order by scheduled_for, id
    loop
        v_claim.claimed_at := smsretry.clock();
        select r.why, r.why_code into v_claim.refused, v_claim.refused_code
        from smsretry.refusal(
            v_claim.log_says_sent, v_claim.sms_consent_status, smsretry.number_key(v_claim.business_id, v_claim.phone)) r;
        if v_claim.claim_no > 0 then
            select d.why into v_claim.doubted from smsretry.earlier_doubt(v_claim.send_log_id, v_claim.business_id) d;
        end if;
        v_claim.texts_at := '{}';
        while preview_sms_retries.cap_window is not null and cardinality(v_claim.texts_at) < 20 loop
            v_at := smsretry.cap_reached_at(
                v_claim.business_id, v_claim.phone, cardinality(v_claim.texts_at) + 1,
                v_claim.claimed_at - preview_sms_retries.cap_window);
            exit when v_at is null;
            v_claim.texts_at := v_claim.texts_at || v_at;
        end loop;
        return next v_claim;
    end loop;
end
$$;

-- ======== schemas/desk/sms_status.sql ========
-- For a person: what is in the queue, what went out and ended lately, what is stopped, and the last runs, by part:
--   clock (oldest: the database's clock; next_at: what was due before is late; texts: smsretry.fewest_texts)
--   scheduled (name: waiting, held or late; told: the id of one held) · queue (name: a state) · waiting (name: category)
--   held (name: reason, a line a business) · sent (by outcome, last hour)
--   delivery, delivery_lately (last day, last hour; name: delivered, undelivered, unknown or open) · delivery_hour (oldest:
--   its start) · delivery_business (last day; the ten businesses with the smallest share delivered; told: its name)
--   delivery_time (name: median or 95th percentile; told: seconds from accepted to delivered; texts: of how many)
--   undelivered (last day; name: the provider's code, a line a business) · ended (last day; failed or cancelled, by error)
--   inbound (only with_words: people whose text may mean stop, unread; told: the oldest one's SID) · stopped · run
--   senders, sender (only with_senders: the businesses' own; smsretry.status_of_senders)
-- oldest and next_at: of a queue's line, the earliest due time and the next; of others, when it began.
create or replace function public.sms_status(with_words boolean default false, with_senders boolean default false)
returns table (part text, name text, business_id uuid, texts bigint, oldest timestamptz, next_at timestamptz, told text, why_code text)
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp as $$
declare
    v_now constant timestamptz := smsretry.clock();
begin
    return query
    (select 'clock', '', null::uuid, smsretry.fewest_texts()::bigint, v_now, v_now - smsretry.late_after(), null::text, null::text)
    union all
    select * from smsretry.status_of_waiting(v_now)
    union all
    select s.*, null::text from smsretry.status_of_sends(v_now) s
    union all
    select l.*, null::text from smsretry.status_of_lost(v_now) l
    union all
    (select 'ended', e.status, null::uuid, count(*), min(e.updated_at), null::timestamptz,
            smsretry.numberless(left(e.last_error, 200)), e.why_code
     from public.sms_retry_queue e
     where e.status in ('completed', 'failed', 'cancelled') and e.status <> 'completed' and e.updated_at > v_now - interval '1 day'
     group by e.status, left(e.last_error, 200), e.why_code order by e.status desc, count(*) desc limit 50)
    union all
    (select 'inbound', 'words', null::uuid, count(distinct t.number_key), min(t.heard_at), null::timestamptz,
            (array_agg(t.twilio_sid order by t.heard_at))[1], null::text
     from smsretry.inbound_texts t
     where sms_status.with_words and t.heard = 'words' and t.seen_at is null having count(*) > 0)
    union all
    -- Not sending: everybody's texts; environment: those of businesses without a sender of their own.
    (select 'stopped', case when sms_status.with_senders and c.sender <> '' and exists (select from smsretry.business_senders)
                            then 'environment' else 'sending' end,
            null::uuid, null::bigint, c.opened_at, null::timestamptz, c.why, null::text
     from smsretry.circuits() c where not c.own)
    union all
    select * from smsretry.status_of_senders(v_now) s where sms_status.with_senders
    union all
    (select 'stopped', s.state, null::uuid, null::bigint, s.stopped_at, null::timestamptz, s.why, null::text
     from smsretry.stopped_states s order by s.state)
    union all
    (select 'run', r.id::text, null::uuid, null::bigint, r.started_at, r.finished_at,
            coalesce(r.told, case when r.interrupted_at is not null then 'It was interrupted' else 'It is under way' end), null::text
     from smsretry.runs r order by r.started_at desc limit 5);
end
$$;

-- ======== schemas/desk/status_of_lost.sql ========
-- Undelivered messages: the lines delivery_business and undelivered of sms_status.
create or replace function smsretry.status_of_lost(at timestamptz)
returns table (part text, name text, business_id uuid, texts bigint, oldest timestamptz, next_at timestamptz, told text)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    return query
    with lost as materialized (
        select q.business_id, a.delivery_code, count(*) as texts, min(a.delivery_at) as oldest
        from public.sms_send_attempts a join public.sms_retry_queue q on q.id = a.retry_id
        where a.begun_at > status_of_lost.at - interval '1 day' and a.twilio_sid is not null
          and a.delivery_status in ('undelivered', 'failed', 'canceled') -- is_lost, inline because it is cheaper
          and not a.delivery_excused
        group by q.business_id, a.delivery_code
    ),
    losing as (
        select l.business_id, sum(l.texts)::bigint as undelivered from lost l group by l.business_id
    ),
    arrived as (
        -- The row of a message that arrived ended within the day: an index finds it.
        select q.business_id, count(*) as delivered
        from public.sms_retry_queue q join public.sms_send_attempts a on a.retry_id = q.id
        where q.status in ('completed', 'failed', 'cancelled') and q.updated_at > status_of_lost.at - interval '1 day'
          and q.business_id in (select l.business_id from losing l)
          and a.begun_at > status_of_lost.at - interval '1 day' and a.twilio_sid is not null and a.delivery_status in ('delivered', 'read')
        group by q.business_id
    ),
    worst as (
        select l.business_id, l.undelivered, coalesce(a.delivered, 0) as delivered, left(b.name, 200) as name,
               coalesce(a.delivered, 0)::float8 / (l.undelivered + coalesce(a.delivered, 0)) as share
        from losing l
        left join arrived a on a.business_id = l.business_id
        left join public.businesses b on b.id = l.business_id
        where l.undelivered + coalesce(a.delivered, 0) >= smsretry.fewest_texts()
        order by share, l.undelivered desc, l.business_id limit 10
    )
    (select 'delivery_business', f.fate, w.business_id, f.texts, null::timestamptz, null::timestamptz, w.name
     from worst w cross join lateral (values ('delivered', w.delivered), ('undelivered', w.undelivered)) as f (fate, texts)
     order by w.share, w.undelivered desc, w.business_id, f.fate)
    union all
    (select 'undelivered', coalesce(l.delivery_code::text, 'without a code'), l.business_id, l.texts, l.oldest,
            null::timestamptz, left(b.name, 200)
     from lost l left join public.businesses b on b.id = l.business_id
     order by l.texts desc limit 50);
end
$$;

-- ======== schemas/desk/status_of_senders.sql ========
-- The businesses' own senders: the lines senders (how many send, are paused, stopped, or have used their day) and sender (one
-- each for those that keep texts waiting or do not send; texts: how many wait) of sms_status.
create or replace function smsretry.status_of_senders(at timestamptz)
returns table (part text, name text, business_id uuid, texts bigint, oldest timestamptz, next_at timestamptz, told text, why_code text)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    -- Held, and not only by the pause of their sender: few, from an index.
    v_held constant uuid[] := array(
        select distinct q.business_id from public.sms_retry_queue q
        where q.held_since is not null and q.status = 'pending' and q.why_code in ('no_credentials', 'account_refused'));
begin
    return query
    with states as materialized (
        select s.*, c.opened_at, c.why,
               case when s.paused_at is not null then 'paused' when c.opened_at is not null then 'stopped'
                    when s.segments_per_day is not null
                        and (smsretry.day_used(s, status_of_senders.at)).segments >= s.segments_per_day then 'spent'
                    else 'sending' end as state
        from smsretry.senders s
        left join smsretry.circuit c on c.sender = s.sent_by
    ),
    suspected as (
        select t.id from states t where t.state <> 'sending'
        union
        select b.sender_id from smsretry.business_senders b where b.business_id = any (v_held)
    ),
    waiting as materialized (
        select w.sender_id, sum(w.due + w.waiting + w.held)::bigint as texts,
               min(w.why_code) filter (where w.why_code in ('no_credentials', 'account_refused')) as why_code,
               min(w.why) filter (where w.why_code in ('no_credentials', 'account_refused')) as why
        from smsretry.texts_by_sender(array(
            select b.business_id from smsretry.business_senders b where b.sender_id in (select u.id from suspected u)), status_of_senders.at) w
        where w.sender_id is not null
        group by w.sender_id
    )
    (select 'senders', t.state, null::uuid, count(*), null::timestamptz, null::timestamptz, null::text, null::text
     from states t group by t.state order by t.state)
    union all
    (select 'sender', smsretry.shown_sender(t.sent_by), case when cardinality(smsretry.users_of(t.id)) = 1 then (smsretry.users_of(t.id))[1] end,
            coalesce(w.texts, 0), coalesce(t.paused_at, t.opened_at), case t.state when 'spent' then (smsretry.carriers_day(status_of_senders.at)).ends end,
            'account ' || t.account || ': ' || case t.state
                when 'paused' then 'paused: ' || smsretry.numberless(t.paused_because)
                when 'stopped' then 'stopped: ' || t.why
                when 'spent' then 'has used its day'
                else coalesce(w.why, 'texts wait') end,
            case t.state when 'paused' then 'sender_paused' when 'stopped' then 'sending_stopped' when 'spent' then 'day_spent'
                 else w.why_code end
     from states t
     left join waiting w on w.sender_id = t.id
     where t.state in ('paused', 'stopped') or t.state = 'spent' and w.texts > 0 or w.why_code in ('no_credentials', 'account_refused')
     order by coalesce(w.texts, 0) desc, t.id limit 50);
end
$$;

-- ======== schemas/desk/status_of_sends.sql ========
-- Recent sends and their fate: the lines sent, delivery, delivery_lately, delivery_hour and delivery_time of sms_status.
create or replace function smsretry.status_of_sends(at timestamptz)
returns table (part text, name text, business_id uuid, texts bigint, oldest timestamptz, next_at timestamptz, told text)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    return query
    with reported as materialized (
        select a.delivery_status, a.begun_at > status_of_sends.at - interval '1 hour' as lately,
               date_trunc('hour', a.begun_at, 'UTC') as hour, count(*) as texts
        from public.sms_send_attempts a
        where a.begun_at > status_of_sends.at - interval '1 day' and a.twilio_sid is not null and not a.delivery_excused
        group by 1, 2, 3
    ),
    accepted as (
        select case when smsretry.has_arrived(r.delivery_status) then 'delivered'
                    when smsretry.is_lost(r.delivery_status) then 'undelivered'
                    when r.delivery_status = 'unknown' then 'unknown'
                    else 'open' end as fate,
               r.lately, r.hour, r.texts
        from reported r
    ),
    taken as (
        -- For a message that was read, the time of delivery is not kept. If the response did not settle an attempt, its
        -- finished_at is late.
        select count(*) as texts, percentile_cont(array[0.5, 0.95]) within group (order by greatest(
                   a.delivery_at - case a.settled_by when 'response' then a.finished_at else a.begun_at end, '0')) as after
        from public.sms_send_attempts a
        where a.begun_at > status_of_sends.at - interval '1 day' and a.twilio_sid is not null and a.delivery_status = 'delivered'
    )
    (select 'sent', coalesce(a.outcome, 'under_way'), null::uuid, count(*), min(a.begun_at), null::timestamptz, null::text
     from public.sms_send_attempts a where a.begun_at > status_of_sends.at - interval '1 hour' group by 2 order by 2)
    union all
    (select 'delivery', d.fate, null::uuid, sum(d.texts)::bigint, null::timestamptz, null::timestamptz, null::text
     from accepted d group by d.fate order by d.fate)
    union all
    (select 'delivery_lately', d.fate, null::uuid, sum(d.texts)::bigint, null::timestamptz, null::timestamptz, null::text
     from accepted d where d.lately group by d.fate order by d.fate)
    union all
    (select 'delivery_hour', d.fate, null::uuid, sum(d.texts)::bigint, d.hour, null::timestamptz, null::text
     from accepted d group by d.hour, d.fate order by d.hour, d.fate)
    union all
    (select 'delivery_time', v.name, null::uuid, t.texts, null::timestamptz, null::timestamptz, round(extract(epoch from v.after), 1)::text
     from taken t cross join lateral (values ('median', t.after[1]), ('95th percentile', t.after[2])) as v (name, after)
     where t.texts > 0);
end
$$;

-- ======== schemas/checks/check_reminders.sql ========
-- Warnings about what somebody may have meant, or may have stopped and forgotten. Each is ok, with advice.
create or replace function smsretry.check_reminders()
returns table (subject text, ok boolean, advice text)
language sql stable security invoker set search_path = pg_catalog, pg_temp as $$
    with tables as (
        select r.oid, r.relname, r.relrowsecurity from pg_catalog.pg_class r
        where r.relnamespace = 'public'::regnamespace and r.relname in (
            'businesses', 'customers', 'send_logs', 'scheduled_sends', 'sms_retry_queue', 'sms_send_attempts')
    )
    select 'policy "' || y.polname || '" of ' || r.relname, true,
           'lets ' || string_agg(case g.rolname when 'anon' then 'anyone with the anon key' else 'every signed-in user' end, ' and '
                                 order by g.rolname) || ' read all rows: drop or narrow it, unless that is meant'
    from tables r
    join pg_policy y on y.polrelid = r.oid and y.polpermissive and y.polcmd in ('r', '*')
    join pg_roles g on g.rolname in ('anon', 'authenticated') and (y.polroles @> array[0::oid] or g.oid = any(y.polroles))
    where pg_get_expr(y.polqual, y.polrelid) = 'true' and has_table_privilege(g.oid, r.oid, 'select')
    group by y.polname, r.relname
    union all
    select 'policies of scheduled_sends', true,
           'let nobody who is signed in read a row, although a grant does: revoke the grant, or run: create policy '
               || '"Owners read their scheduled sends" on public.scheduled_sends for select to authenticated '
               || 'using (business_id in (select b.id from public.businesses b where b.user_id = (select auth.uid())))'
    from tables r
    where r.relname = 'scheduled_sends' and r.relrowsecurity and has_table_privilege('authenticated', r.oid, 'select')
      and not exists (
          select 1 from pg_policy y join pg_roles g on g.rolname = 'authenticated'
          where y.polrelid = r.oid and y.polpermissive and y.polcmd in ('r', '*')
            and (y.polroles @> array[0::oid] or g.oid = any(y.polroles)))
    union all
    select 'sending', true, 'had stopped: ' || c.why from smsretry.circuits() c where not c.own
    union all
    (select 'texts of business ' || s.business_id, true,
            'come last in each claim, one at a time, since ' || to_char(s.at at time zone 'UTC', 'YYYY-MM-DD HH24:MI') || ' UTC. ' || s.why
     from smsretry.set_apart s order by s.at limit 20)
    union all
    select 'texts that come in', true,
           'named no sender that is known, ' || count(*) || ' times in a week. Such a STOP counts at every business, and such a START at '
               || 'none: let the webhook pass To, MessagingServiceSid and AccountSid on (record_inbound_sms)'
    from smsretry.inbound_texts t
    where t.senders is null and t.heard_at > smsretry.clock() - interval '7 days'
      and exists (select 1 from smsretry.senders s where s.created_at < t.heard_at)
    having count(*) > 0
    union all
    select 'texts to ' || s.state, true, 'are stopped since ' || to_char(s.stopped_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI')
           || ' UTC (' || s.why || '); `smsretry stop ' || s.state || ' --lift` lets them go'
    from smsretry.stopped_states s
$$;

-- ======== schemas/checks/check_sms_retries.sql ========
-- For an uptime monitor: 'ok …', or an error that PostgREST answers with HTTP 503. It fails if texts are overdue, queued or
-- not, sending or a sender is stopped, or no run has finished within max_minutes (null: smsretry.late_after).
-- Volatile although it only reads: a HEAD request has PostgREST count rows, and PostgreSQL would not call a stable function
-- for that. security definer, so that a role that may do nothing else may call it: it returns only numbers.
create or replace function public.check_sms_retries(max_minutes integer default null)
returns text language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_now constant timestamptz := smsretry.clock();
    v_since constant timestamptz := v_now - case
        when max_minutes is null then smsretry.late_after() else make_interval(mins => greatest(max_minutes, 1)) end;
    v_overdue bigint;
    v_oldest timestamptz;
    v_unqueued bigint;
    v_circuit text;
    v_run timestamptz;
    v_wrong text;
begin
    select count(*), min(q.scheduled_for) into v_overdue, v_oldest
    from public.sms_retry_queue q
    where q.status = 'pending' and q.in_doubt_since is null and q.scheduled_for <= v_since;
    select count(*) into v_unqueued
    from public.scheduled_sends s
    where s.status = 'scheduled' and s.held_since is null and s.scheduled_for <= v_since
      and not exists (select 1 from smsretry.held_sends h where h.scheduled_id = s.id);
    -- Four of them: a whole account's senders may be stopped.
    select string_agg(case when c.own then 'sender ' || smsretry.shown_sender(c.sender) || ' is stopped: '
                           when c.sender <> '' and exists (select from smsretry.business_senders)
                               then 'the sender of the environment is stopped: '
                           else 'sending is stopped: ' end || c.why, ' · ' order by c.place) filter (where c.place <= 4)
               || case when count(*) > 4 then ' · ' || count(*) - 4 || ' more senders are stopped' else '' end
    into v_circuit
    from (select o.*, row_number() over (order by o.own, o.opened_at, o.sender) as place from smsretry.circuits() o) c;
    select max(r.finished_at) into v_run from smsretry.runs r where r.started_at > v_now - interval '7 days';
    v_wrong := concat_ws(' · ',
        case when v_overdue > 0 then v_overdue || ' texts are overdue, the oldest by '
            || floor(extract(epoch from v_now - v_oldest) / 60) || ' minutes' end,
        case when v_unqueued > 0 then v_unqueued || ' scheduled sends are overdue and not queued' end,
        v_circuit,
        case when v_run is null then 'no run has finished in 7 days'
             when v_run <= v_since then 'no run has finished for ' || floor(extract(epoch from v_now - v_run) / 60) || ' minutes' end);
    if v_wrong <> '' then
        raise exception '%', v_wrong using errcode = 'PT503', hint = 'Run `smsretry status`, then `smsretry doctor`.';
    end if;
    return 'ok, last run finished ' || to_char(v_run at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS') || ' UTC';
end
$$;

-- ======== schemas/checks/rehearse_text.sql ========
-- Queue, claim, begin and finish a sample text, or cancel it by an opt-out, so that it ends as `ends`, and roll it back.
-- Nulls if that worked; otherwise the step that failed, and its error.
create or replace function smsretry.rehearse_text(ends text, out step text, out state text, out message text)
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
declare
    v_log_id uuid;
    v_log public.send_logs;
    v_retry_id uuid;
    v_claim smsretry.claimed_retry;
    v_attempt_id constant uuid := gen_random_uuid();
    v_answer text;
begin
    step := 'making a sample text';
    v_log_id := smsretry.sample_text();
    select * into v_log from public.send_logs l where l.id = v_log_id;
    if v_log.id is null then
        raise exception 'there is no text to try it with yet' using errcode = 'SR000';
    end if;
    step := 'queue_sms_retry';
    select q.retry_id, q.result into v_retry_id, v_answer from public.queue_sms_retry(v_log.id) q;
    if v_answer <> 'queued' then
        raise exception 'it answered %', v_answer using errcode = 'SR500';
    end if;
    if ends = 'cancelled' then
        step := 'record_sms_consent';
        select s.cancelled::text into v_answer
        from public.record_sms_consent('+15005550006', 'opted_out', 'rehearsal', v_log.business_id) s;
        if v_answer = '0' then
            raise exception 'an opt-out cancelled nothing' using errcode = 'SR500';
        end if;
    else
        step := 'claim_sms_texts';
        perform 1 from public.claim_sms_texts(0); -- none: the due rows are not ours to take
        step := 'claim_sms_retry';
        select * into v_claim from public.claim_sms_retry(v_retry_id);
        if v_claim.id is null then
            raise exception 'it took no row' using errcode = 'SR500';
        end if;
        step := 'begin_sms_attempt';
        delete from smsretry.business_senders b where b.business_id = v_log.business_id; -- or a pause or a cap would answer
        select b.answer || coalesce(': ' || b.why, '') into v_answer
        from public.begin_sms_attempt(
            retry_id => v_claim.id, claim_no => v_claim.claim_no, attempt_id => v_attempt_id,
            send_before => smsretry.clock() + interval '1 hour', quiet_hours_rule => 'rehearsal') b;
        if v_answer <> 'go' then
            raise exception 'it answered %', v_answer using errcode = 'SR500';
        end if;
        step := 'finish_sms_attempt';
        select f.status into v_answer
        from public.finish_sms_attempt(
            retry_id => v_claim.id, claim_no => v_claim.claim_no, attempt_id => v_attempt_id,
            outcome => case ends when 'failed' then 'rejected' else 'accepted' end, next_status => ends,
            error => case ends when 'failed' then 'Rehearsal' end,
            twilio_sid => case ends when 'completed' then 'SM' || replace(v_attempt_id::text, '-', '') end) f
        where f.applied;
        if v_answer is distinct from ends then
            raise exception 'the text did not end %', ends using errcode = 'SR500';
        end if;
    end if;
    step := null;
    raise exception 'rolled back' using errcode = 'SR000';
exception when others then
    get stacked diagnostics state = returned_sqlstate, message = message_text;
end
$$;

-- ======== schemas/rights/internal_functions.sql ========
-- Only the backend calls the functions in the schema smsretry.
revoke all on all functions in schema smsretry from public, anon, authenticated;
grant execute on all functions in schema smsretry to service_role;

-- ======== schemas/rights/public_functions.sql ========
-- Only the backend calls our functions in public. A Supabase project lets everybody call a new one. A function that a
-- migration created anew (smsretry.granted_…) keeps the roles of the owner's own that may call it.
do $$
declare
    version regprocedure;
    granted text;
    role regrole;
begin
    for version, granted in
        select p.oid::regprocedure, current_setting('smsretry.granted_' || p.proname, true) from pg_catalog.pg_proc p
        where p.pronamespace = 'public'::regnamespace and 'search_path=pg_catalog, pg_temp' = any (p.proconfig) and p.proname in (
        'add_sms_sender', 'begin_sms_attempt', 'cancel_sms_retries', 'change_sms_sender', 'check_sms_retries', 'check_sms_retry_setup', 'claim_doubtful_sms_retries', 'claim_due_sms_retries', 'claim_sms_deliveries', 'claim_sms_retry', 'claim_sms_texts', 'claim_suspect_sms_retry', 'count_sms_answer', 'defer_sms_retry', 'describe_sms_tables', 'doubt_sms_retries', 'end_sms_retry', 'explain_sms', 'finish_sms_attempt', 'finish_sms_delivery', 'finish_sms_run', 'group_sms_calls', 'hold_sms_retry', 'lease_sms_sender', 'lease_sms_time', 'lease_sms_times', 'next_sms_due', 'pause_sms_sender', 'preview_sms_retries', 'prune_sms_history', 'queue_scheduled_sms', 'queue_sms_retry', 'reconcile_sms_retry', 'record_inbound_sms', 'record_sms_consent', 'recover_stuck_sms_retries', 'remove_sms_sender', 'requeue_failed_sms', 'resolve_sms_doubt', 'resume_sms_sender', 'schedule_sms', 'set_sms_circuit', 'set_sms_state_stop', 'settle_sms_attempt', 'slow_sms_sender', 'sms_senders', 'sms_status', 'start_sms_run', 'try_sms_retry_queue'
        )
    loop
        execute format('revoke all on function %s from public, anon, authenticated', version);
        execute format('grant execute on function %s to service_role', version);
        foreach role in array coalesce(nullif(granted, ''), '{}')::regrole[] loop
            continue when role::text in ('anon', 'authenticated', 'service_role');
            execute format('grant execute on function %s to %s', version, role);
        end loop;
    end loop;
end
$$;

-- ======== PostgREST learns of the change at once ========
notify pgrst, 'reload schema';
