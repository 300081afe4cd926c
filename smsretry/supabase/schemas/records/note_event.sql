-- Keep what a person ordered, who and why (smsretry.events); each order calls it.
create or replace function smsretry.note_event(
    about uuid,
    code text,
    who text,
    because text,
    detail jsonb default '{}'
)
returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    insert into smsretry.events (at, about, code, who, detail)
    values (
        smsretry.clock(),
        about,
        code,
        coalesce(who, 'not said'),
        jsonb_strip_nulls(
            jsonb_build_object('because', because) || detail
        )
    );
end
$$;
