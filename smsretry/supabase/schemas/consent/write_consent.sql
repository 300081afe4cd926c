-- Let customers' rows say what was said of them, and cancel the texts of those who opted out. Words
-- are kept before this, and each send asks for them: what is locked, refused by a rule of the
-- application's, or cut off by a timeout is left to a later run. In no order, so that none always
-- keeps others from theirs.
--   words: ids of smsretry.consents
--   until: when no more is begun
--   opted_out: customers who say so now
--   opted_in: customers who were marked so
--   cancelled: texts that waited
--   unmarked: customers whose rows may not say it yet: a later run marks them
create or replace function smsretry.write_consent(
    words bigint[],
    until timestamptz default clock_timestamp() + interval '2 seconds',
    out opted_out integer,
    out opted_in integer,
    out cancelled integer,
    out unmarked integer
)
language plpgsql set search_path = pg_catalog, pg_temp set lock_timeout = '200ms'
as $$
declare
    v_now constant timestamptz := smsretry.clock();
    v_named record;
    v_business uuid;
    v_consent text;
    v_mark record;
    v_is_out boolean;
    v_texts uuid[];
    v_failed bigint[] := '{}';
begin
    opted_out := 0;
    opted_in := 0;
    cancelled := 0;
    unmarked := 0;
    begin
        for v_named in
            select w.customer_id, array_agg(w.id) as words
            from smsretry.consents w
            where w.id = any (write_consent.words) and w.mark_at is not null
            group by w.customer_id
            order by random()
        loop
            unmarked := unmarked + 1;
            continue when clock_timestamp() > until;
            begin
                select c.business_id, c.sms_consent_status::text
                into v_business, v_consent
                from public.customers c
                where c.id = v_named.customer_id
                for no key update skip locked; -- who holds it may be writing something else
                if not found
                    and exists (
                        select from public.customers c
                        where c.id = v_named.customer_id
                    ) then
                    v_failed := v_failed || v_named.words;
                    continue;
                end if;
                select m.*
                into v_mark
                from smsretry.consent_for(v_named.customer_id) m;
                v_is_out := coalesce(v_mark.status, smsretry.consent(v_consent)) = 'opted_out';
                v_texts := array(
                    select q.id
                    from public.sms_retry_queue q
                    where v_is_out
                      and q.customer_id = v_named.customer_id
                      -- is true: by the customer's index alone; with old statistics that of all
                      -- that waits is walked
                      and (
                          q.status = 'pending' and q.in_doubt_since is null
                      ) is true
                    for update skip locked
                );
                if v_texts <> '{}' then -- else PostgreSQL may read all that waits
                    perform smsretry.save_row(
                        q,
                        v_now,
                        ended => 'cancelled',
                        why => 'Customer opted out',
                        why_code => 'opted_out'
                    )
                    from public.sms_retry_queue q
                    where q.id = any (v_texts);
                end if;
                if v_mark.status is not null then
                    update public.customers c
                    set
                        sms_consent_status = v_mark.status,
                        sms_consent_at = v_mark.at,
                        sms_consent_source = v_mark.source
                    where c.id = v_named.customer_id;
                end if;
                set constraints all immediate; -- a deferred check would undo the word, too
                update smsretry.consents w
                set
                    mark_at = null,
                    was = case when v_mark.status = 'opted_out' then left(v_consent, 40) end
                where w.id = any (v_named.words);
                unmarked := unmarked - 1;
                cancelled := cancelled + cardinality(v_texts);
                opted_out := opted_out + v_is_out::integer;
                opted_in := opted_in + (
                    v_mark.status is not distinct from 'opted_in'
                )::integer;
            exception
                when query_canceled then -- the time is over and is not counted again
                    v_failed := v_failed || v_named.words;
                    until := '-infinity';
                when others then
                    raise warning 'Customer % of business % could not be marked yet: %',
                        v_named.customer_id,
                        v_business,
                        sqlstate;
                    v_failed := v_failed || v_named.words;
            end;
        end loop;
    exception
        -- The time is over between two customers, or the table is not ours to write.
        when query_canceled or others then
            raise warning 'Customers could not be marked yet: %', sqlstate;
            unmarked := greatest(unmarked + opted_out + opted_in, 1);
            opted_out := 0;
            opted_in := 0;
            cancelled := 0;
    end;
    update smsretry.consents w
    set mark_at = v_now + (v_now - w.at) -- after as long as it has been tried
    where w.id = any (v_failed);
end
$$;
