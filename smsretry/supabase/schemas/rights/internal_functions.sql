-- Functions in the schema smsretry are the backend's alone, said once for all of them.
revoke all on all functions in schema smsretry from public, anon, authenticated;
grant execute on all functions in schema smsretry to service_role;
