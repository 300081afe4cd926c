-- Mark this database as production, as staging, or as neither. Returns whether it is marked. May be
-- repeated. Texts that waited because of the mark are released.
--   kind: production, staging or none
--   who, because: of the person
--   address: of production: that of the SUPABASE_URL which its workers have: the host, the port if
--     it is not the usual one, and the path
create or replace function public.mark_sms_database(
    kind text,
    who text,
    because text,
    address text default null
)
returns boolean
language plpgsql set search_path = pg_catalog, pg_temp
as $$
begin
    perform smsretry.check_who_and_why(
        who,
        because
    );
    if (kind in ('production', 'staging', 'none')) is not true
    then
        raise exception 'kind must be production, staging or none'
            using errcode = 'SR422';
    end if;
    if (kind = 'production') is distinct from (
        coalesce(btrim(address), '') <> ''
    ) then
        raise exception 'production needs the address of its workers'' SUPABASE_URL, and nothing else has one'
            using errcode = 'SR422';
    end if;
    perform smsretry.note_event(
        null,
        'database_marked',
        who,
        because,
        jsonb_build_object('kind', kind)
    );
    perform smsretry.try_release('{mark_mismatch}');
    if kind = 'none' then
        delete from smsretry.mark;
        return false;
    end if;
    insert into smsretry.mark (kind, address, marked_at, who, because)
    values (
        kind,
        lower(btrim(address)),
        smsretry.clock(),
        who,
        because
    )
    on conflict (one)
    do update set
        kind = excluded.kind,
        address = excluded.address,
        marked_at = excluded.marked_at,
        who = excluded.who,
        because = excluded.because;
    return true;
end
$$;
