-- For a person: what became of a text that is in doubt. With a SID it went out, as that message; without one it did not,
-- and is sent again. Answers resolved, or not_in_doubt.
create or replace function public.resolve_sms_doubt(retry_id uuid, twilio_sid text default null)
returns text language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    v_row public.sms_retry_queue;
begin
    select * into v_row from public.sms_retry_queue q
    where q.id = resolve_sms_doubt.retry_id and q.status = 'pending' and q.in_doubt_since is not null
    for update;
    if not found then
        return 'not_in_doubt'; -- or a worker is looking at it at this moment
    end if;
    if resolve_sms_doubt.twilio_sid is null then
        perform smsretry.resend(v_row, 'operator', smsretry.clock());
    else
        perform public.settle_sms_attempt(v_row.attempt_id, resolve_sms_doubt.twilio_sid, 'operator');
    end if;
    return 'resolved';
end
$$;

revoke all on function public.resolve_sms_doubt from public, anon, authenticated;
grant execute on function public.resolve_sms_doubt to service_role;
