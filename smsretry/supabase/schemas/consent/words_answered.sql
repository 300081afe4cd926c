-- Draw the consequences of what may have answered a number's unread words: texts that were held for
-- them are released, and the number itself is forgotten once nobody has to read them.
create or replace function smsretry.words_answered(phone text, customer_id uuid default null)
returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_answered uuid[];
    v_unread uuid[];
begin
    if customer_id is null
        and not exists (
            select from smsretry.consents w
            where w.subject_key = smsretry.number_key(null, words_answered.phone)
              and w.said = 'unsure'
        )
    then
        return; -- the number never wrote any
    end if;
    select
        array_agg(u.id) filter (where not u.is_unread),
        array_agg(u.id) filter (where u.is_unread)
    into v_answered, v_unread
    from (
        select
            c.id,
            exists (
                select from smsretry.objections(
                    array[c.business_id],
                    array[c.phone::text],
                    array[c.id]
                ) o
                where (o.word).said = 'unsure'
            ) as is_unread
        from public.customers c
        where c.phone = words_answered.phone
           or c.id = words_answered.customer_id
    ) u;
    if v_answered is not null then
        perform smsretry.try_release('{words_unread}', v_answered);
    end if;
    if v_unread is null then
        update smsretry.consents w
        set phone = null
        where w.phone = words_answered.phone;
    end if;
end
$$;
