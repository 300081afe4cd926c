-- The home of everything internal. PostgREST does not expose it: the API is the functions in
-- public.
create schema if not exists smsretry;
comment on schema smsretry is 'Internals of the SMS retry queue. Not exposed by PostgREST; the API is the functions in public.';

-- A tenant's insert needs nothing in it: its trigger does what it does as the owner.
revoke all on schema smsretry from public, anon, authenticated;
grant usage on schema smsretry to service_role;
