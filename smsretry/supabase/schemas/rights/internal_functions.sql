-- Only the backend calls the functions in the schema smsretry.
revoke all on all functions in schema smsretry from public, anon, authenticated;
grant execute on all functions in schema smsretry to service_role;
