-- The home of everything internal. PostgREST does not expose it: the API is the functions in public.
create schema if not exists smsretry;
comment on schema smsretry is 'Internals of the SMS retry queue. Not exposed by PostgREST; the API is the functions in public.';

revoke all on schema smsretry from public;
-- authenticated: a tenant's insert reads the clock, because the default of sms_retry_queue.expires_at does.
grant usage on schema smsretry to service_role, authenticated;
