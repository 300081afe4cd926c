-- Keep words of whomever they are said: the number, and the customer who is named. It waits for
-- nobody. An opt-out that changes nothing is not kept: one stands that is no earlier and no easier
-- to take back. Returns the ids of what was kept.
--   everyone: each customer who has the number is named
--   marks: the customers' rows shall say it (smsretry.write_consent)
--   once: an opt-out that was kept before is not kept again, whatever was said after it
create or replace function smsretry.keep_words(
    words smsretry.word[],
    everyone boolean default false,
    marks boolean default false,
    once boolean default false
)
returns bigint[]
language plpgsql set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan as $$
declare
    v_now constant timestamptz := smsretry.clock();
    v_key constant bytea := (select s.key from smsretry.secret s);
    v_kept bigint[];
begin
    if words = '{}' then
        return '{}';
    end if;
    with kept as (
        insert into smsretry.consents (
            subject_key,
            business_id,
            customer_id,
            number_key,
            said,
            source,
            at,
            dated,
            senders,
            twilio_sid,
            mark_at
        )
        select distinct on (s.subject_key, w.said, w.source, w.senders)
            s.subject_key,
            w.business_id,
            s.customer_id,
            smsretry.number_key(null, w.phone, v_key),
            w.said,
            left(w.source, 200),
            v_now,
            case
                when w.said in ('opted_out', 'unsure') then coalesce(w.dated, v_now)
                else w.dated
            end,
            w.senders,
            w.twilio_sid,
            case when marks and s.customer_id is not null then v_now end
        from (
            select
                u.*,
                smsretry.number_key(u.business_id, u.phone, v_key) as number_key
            from unnest(words) u
            offset 0
        ) w
        cross join lateral (
            select w.number_key as subject_key, null::uuid as customer_id
            where w.number_key is not null
            union all
            select
                smsretry.number_key(w.business_id, c.id::text, v_key),
                c.id
            from (
                select o.id
                from public.customers o
                where everyone
                  and o.phone = w.phone
                  and (o.business_id = w.business_id) is true -- by the number's index alone
                union
                select o.id
                from public.customers o
                where o.id = w.customer_id
                  and (o.business_id = w.business_id) is true
            ) c
        ) s
        where case
            when w.said in ('opted_out', 'unsure')
                then not exists (
                    select from smsretry.standing_words o
                    where o.subject_key = s.subject_key
                      and o.said = 'opted_out'
                      and (w.senders is null or o.senders <@ w.senders)
                      and (
                          w.said = 'unsure' -- nobody has to read it
                          or o.dated >= coalesce(w.dated, '-infinity')
                              and (
                                  smsretry.start_takes_back(w.source)
                                  or not smsretry.start_takes_back(o.source)
                              )
                      )
                    offset 0
                )
                and not (
                    once
                    and exists (
                        select from smsretry.consents o
                        where o.subject_key = s.subject_key
                          and o.said = 'opted_out'
                          and o.dated >= coalesce(w.dated, '-infinity')
                        offset 0
                    )
                )
                and not exists (
                    select from smsretry.consents i
                    join smsretry.consents r on r.id = w.repeats
                    where i.subject_key = s.subject_key
                      and i.said in ('opted_in', 'unchanged')
                      and i.id + 0 > w.repeats
                      and smsretry.answers(i, r)
                    offset 0
                )
            else true
        end
        order by s.subject_key, w.said, w.source, w.senders, w.dated desc nulls first
        on conflict (twilio_sid, subject_key) where twilio_sid is not null
        do nothing
        returning id
    )
    select array_agg(k.id) into v_kept from kept k;
    return coalesce(v_kept, '{}');
end
$$;
