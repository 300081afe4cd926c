-- Let the customers who have a number at these businesses say what was said of it, and cancel the
-- texts of those who opted out. Words are kept before this, and each send asks for them: what is
-- locked, refused by a rule of the application's, or cut off by a timeout is left to a later run
-- (smsretry.unmarked). In no order, so that none always keeps others from theirs.
--   since: when it was tried first
--   until: when no more is begun; -infinity: a timeout has come
--   opted_out: customers who say so now
--   opted_in: customers who were marked so
--   cancelled: texts that waited
--   unmarked: customers whose rows may not say it yet: a later run marks them
create or replace function smsretry.mark_customers(
    businesses uuid[],
    phone text,
    since timestamptz default smsretry.clock(),
    inout until timestamptz default clock_timestamp() + interval '2 seconds',
    out opted_out integer,
    out opted_in integer,
    out cancelled integer,
    out unmarked integer
)
language plpgsql set search_path = pg_catalog, pg_temp set lock_timeout = '200ms'
as $$
declare
    v_now constant timestamptz := smsretry.clock();
    v_customer record;
    v_mark record;
    v_is_out boolean;
    v_texts uuid[];
begin
    opted_out := 0;
    opted_in := 0;
    cancelled := 0;
    unmarked := 0;
    begin
        select count(*)
        into unmarked
        from public.customers c
        where c.phone = mark_customers.phone
          -- by the number's index alone
          and (c.business_id = any (mark_customers.businesses)) is true;
        for v_customer in
            select
                c.id,
                c.business_id,
                c.sms_consent_status::text as consent
            from public.customers c
            where c.phone = mark_customers.phone
              and (c.business_id = any (mark_customers.businesses)) is true
            order by random()
            for no key update skip locked -- who holds one may be writing something else
        loop
            select m.*
            into v_mark
            from smsretry.mark_for(v_customer.id) m;
            v_is_out := coalesce(v_mark.status, v_customer.consent) = 'opted_out';
            v_texts := array(
                select q.id
                from public.sms_retry_queue q
                where v_is_out
                  and q.customer_id = v_customer.id
                  -- is true: by the customer's index alone; with old statistics that of all that
                  -- waits is walked
                  and (
                      q.status = 'pending' and q.in_doubt_since is null
                  ) is true
                for update skip locked
            );
            if v_mark.status is not null or v_texts <> '{}' then
                continue when clock_timestamp() > until;
                begin
                    if v_texts <> '{}' then -- else PostgreSQL may read all that waits
                        perform smsretry.save_row(
                            q,
                            v_now,
                            ended => 'cancelled',
                            because => 'Customer opted out',
                            why_code => 'opted_out'
                        )
                        from public.sms_retry_queue q
                        where q.id = any (v_texts);
                    end if;
                    update public.customers c
                    set
                        sms_consent_status = v_mark.status,
                        sms_consent_at = v_mark.at,
                        sms_consent_source = v_mark.source
                    where c.id = v_customer.id and v_mark.status is not null;
                    set constraints all immediate; -- a deferred check would undo the word, too
                exception
                    when query_canceled then -- the time is over and is not counted again
                        until := '-infinity';
                        continue;
                    when others then
                        raise warning 'A customer of business % could not be marked yet: %',
                            v_customer.business_id,
                            sqlstate;
                        continue;
                end;
                cancelled := cancelled + cardinality(v_texts);
            end if;
            unmarked := unmarked - 1;
            opted_out := opted_out + v_is_out::integer;
            opted_in := opted_in + (
                v_mark.status is not distinct from 'opted_in'
            )::integer;
        end loop;
    exception
        -- The time is over between two customers, or the table is not ours to write.
        when query_canceled or others then
            raise warning 'Customers could not be marked yet: %', sqlstate;
            until := '-infinity';
            unmarked := greatest(unmarked + opted_out, 1);
            opted_out := 0;
            opted_in := 0;
            cancelled := 0;
    end;
    if unmarked > 0 then
        insert into smsretry.unmarked (phone, businesses, since, due)
        values (
            mark_customers.phone,
            mark_customers.businesses,
            mark_customers.since,
            v_now + (v_now - mark_customers.since)
        ); -- after as long as it has been tried
    end if;
end
$$;
