-- List for a person the texts and scheduled sends that fit a filter (smsretry.texts_that_fit),
-- those that changed last first.
create or replace function public.list_sms(
    which jsonb,
    row_limit integer default 100
)
returns setof smsretry.text_on_record
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan as $$
declare
    v_ids uuid[];
begin
    if (list_sms.row_limit between 1 and 500) is not true then
        raise exception 'row_limit is 1 to 500' using errcode = 'SR422';
    end if;
    v_ids := array(
        select f
        from smsretry.texts_that_fit(list_sms.which) f
        limit list_sms.row_limit
    );
    return query
    select t.*
    from smsretry.text_on_record t
    where t.retry_id = any (v_ids)
    order by array_position(v_ids, t.retry_id);
end
$$;
