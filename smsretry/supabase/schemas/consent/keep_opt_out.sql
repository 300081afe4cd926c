-- Keep that a number opted out at a business. It waits for nobody. False: the number is null, or an
-- opt-out stands that is no earlier and no easier to take back.
--   business_id: null: at each business that gets to know the number
--   dated: null: now, and whatever stands is no earlier
--   once: an opt-out that was kept before is not kept again, whatever was said after it
create or replace function smsretry.keep_opt_out(
    business_id uuid,
    phone text,
    source text,
    dated timestamptz,
    senders text[] default null,
    once boolean default false
)
returns boolean
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_key constant bytea := smsretry.number_key(
        keep_opt_out.business_id,
        keep_opt_out.phone
    );
    v_since constant timestamptz := coalesce(keep_opt_out.dated, '-infinity');
begin
    if v_key is null
        or keep_opt_out.once
            and exists (
                select from smsretry.consents o
                where o.number_key = v_key
                  and o.said = 'opted_out'
                  and o.dated >= v_since
            )
        or exists (
            select from smsretry.standing_opt_outs o
            where o.number_key = v_key
              and o.dated >= v_since
              and (
                  keep_opt_out.senders is null
                  or o.senders <@ keep_opt_out.senders
              )
              and (
                  smsretry.start_takes_back(keep_opt_out.source)
                  or not smsretry.start_takes_back(o.source)
              )
        ) then
        return false;
    end if;
    insert into smsretry.consents (
        number_key,
        business_id,
        said,
        source,
        at,
        dated,
        senders
    )
    values (
        v_key,
        keep_opt_out.business_id,
        'opted_out',
        left(keep_opt_out.source, 200),
        smsretry.clock(),
        coalesce(keep_opt_out.dated, smsretry.clock()),
        keep_opt_out.senders
    );
    return true;
end
$$;
