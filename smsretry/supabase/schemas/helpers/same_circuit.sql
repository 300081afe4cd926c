-- Whether a circuit kept under `kept_as` is the one of `sender`. own: it has one for itself. All others, by
-- whatever sender, are the environment's: smsretry.is_environments.
create or replace function smsretry.same_circuit(kept_as text, sender text, own boolean)
returns boolean language sql stable set search_path = pg_catalog, pg_temp as $$
    select case when own or sender = '' then kept_as = sender
                else smsretry.is_environments(kept_as) end
$$;
