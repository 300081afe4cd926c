-- Find what stands against texts to these customers: the one question, at every door. A row a
-- customer and word, for each customer first what is hardest to take back. What was said of a number
-- before a business knew it counts where it was received (smsretry.concerns), until somebody says
-- something else at that business.
--   businesses, phones, customers: one of each a customer; a customer may be null, for whoever has
--     the number
--   place: which customer, from 1 on
create or replace function smsretry.objections(
    businesses uuid[],
    phones text[],
    customers uuid[]
)
returns table (place bigint, word smsretry.standing_words)
language plpgsql stable set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan as $$
declare
    v_key constant bytea := (select s.key from smsretry.secret s);
begin
    return query
    select k.place, w.word
    from (
        select
            t.place,
            t.business_id,
            smsretry.number_key(t.business_id, t.phone, v_key) as number_key,
            smsretry.number_key(t.business_id, t.customer_id::text, v_key) as customer_key,
            smsretry.number_key(null, t.phone, v_key) as anywhere_key
        from unnest(businesses, phones, customers) with ordinality t (business_id, phone, customer_id, place)
        offset 0
    ) k
    cross join lateral (
        select o as word
        from smsretry.standing_words o
        where o.subject_key = any (array[k.number_key, k.customer_key])
        union all
        select o
        from smsretry.standing_words o
        where o.subject_key = k.anywhere_key
          and smsretry.concerns(k.business_id, k.number_key, o.senders)
          and not exists (
              select from smsretry.consents i
              join smsretry.consents w on w.id = o.id
              where i.subject_key = k.number_key
                and i.said in ('opted_in', 'unchanged')
                and i.id + 0 > o.id
                and smsretry.answers(i, w)
              offset 0
          )
    ) w
    order by
        k.place,
        (w.word).said,
        smsretry.start_takes_back((w.word).source),
        (w.word).id;
end
$$;
