-- Name the state of a scheduled send that is no text yet: scheduled, held, failed or cancelled.
create or replace function smsretry.planned_state(planned public.scheduled_sends)
returns text
language sql immutable set search_path = pg_catalog, pg_temp as $$
    select case
        when planned.status = 'scheduled'
          and planned.held_since is not null
            then 'held'
        else planned.status::text
    end
$$;
