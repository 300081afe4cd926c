-- Remember for the next runs that something is stopped (why: what is wrong and what to do), or that
-- it works again (why null). kind,
-- subject: smsretry.stops. Returns whether it is stopped. A sender or business that is gone by now
-- has nothing to remember.
create or replace function public.set_sms_stop(kind text, subject text, why text)
returns boolean
language plpgsql security invoker set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    if set_sms_stop.why is null then
        delete from smsretry.stops s
        where s.kind = set_sms_stop.kind
          and s.subject = set_sms_stop.subject;
        return false;
    end if;
    if set_sms_stop.kind = 'sender'
        and not exists (
            select from smsretry.senders s
            where s.id::text = set_sms_stop.subject
        )
        or set_sms_stop.kind = 'business'
            and not exists (
                select from public.businesses b
                where b.id::text = set_sms_stop.subject
            ) then
        return false;
    end if;
    insert into smsretry.stops (kind, subject, since, why)
    values (
        set_sms_stop.kind,
        set_sms_stop.subject,
        smsretry.clock(),
        left(smsretry.numberless(set_sms_stop.why), smsretry.longest_reason())
    )
    on conflict on constraint stops_pkey
    do update set why = excluded.why;
    return true;
end
$$;
