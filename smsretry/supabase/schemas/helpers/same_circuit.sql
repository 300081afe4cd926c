-- Whether a circuit kept under `kept_as` is the one of `sender`. own: it is in smsretry.senders, and has one for itself. All
-- that are not, by whatever sender, are the environment's.
create or replace function smsretry.same_circuit(kept_as text, sender text, own boolean)
returns boolean language sql stable set search_path = pg_catalog, pg_temp as $$
    select case when own or sender = '' then kept_as = sender
                else not exists (select from smsretry.senders s where s.sent_by = kept_as) end
$$;
