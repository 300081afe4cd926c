-- Find for a person the businesses of this name; if there is none, those in whose name it is. Ten
-- at most.
create or replace function public.sms_businesses(name text)
returns table (business_id uuid, business text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan as $$
#variable_conflict use_variable
declare
    v_is_whole boolean;
begin
    foreach v_is_whole in array array[true, false] loop
        return query
        select b.id, left(b.name, 200)
        from public.businesses b
        where case
            when v_is_whole then lower(b.name) = lower(btrim(name))
            else strpos(lower(b.name), lower(btrim(name))) > 0
        end
        order by b.name, b.id
        limit 10;
        exit when found;
    end loop;
end
$$;
