-- Remember for the next runs that something is stopped, or that it works again. Returns whether it
-- is stopped; null: it was not, so that nothing was lifted. What a person lets go releases its
-- texts. A sender or business that is gone by now has nothing to remember.
--   kind, subject: as in smsretry.stops
--   why: what is wrong and what to do; null: it works again
--   who: the person who says so; without one no business is stopped for good, or let go
--   lift: it works again, and why says why
create or replace function public.set_sms_stop(
    kind text,
    subject text,
    why text,
    who text default null,
    lift boolean default false
)
returns boolean
language plpgsql set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    v_lifts constant boolean := lift or why is null;
    v_business uuid;
    v_was_stopped boolean;
begin
    if kind = 'business_stopped' then
        perform smsretry.check_who_and_why(who, why);
        v_business := (
            select b.id
            from public.businesses b
            where b.id::text = subject
        );
        if v_business is null and not v_lifts then
            raise exception 'There is no such business: look in the application''s table businesses'
                using errcode = 'SR422';
        end if;
    end if;
    if who is not null then
        perform smsretry.note_event(
            v_business,
            case
                when v_lifts then split_part(kind, '_', 1) || '_resumed'
                else split_part(kind, '_', 1) || '_stopped'
            end,
            who,
            why,
            case when v_business is null then jsonb_build_object('subject', subject) else '{}' end
        );
    end if;
    if v_lifts then
        delete from smsretry.stops s
        where s.kind = set_sms_stop.kind
          and s.subject = set_sms_stop.subject;
        v_was_stopped := found;
        case kind
            when 'state' then
                perform smsretry.try_release('{state_stopped}');
            when 'business_stopped' then
                perform smsretry.try_release(
                    '{business_stopped}',
                    businesses => array[v_business]
                );
            else -- its texts went back to the queue, due
        end case;
        return case when v_was_stopped then false end;
    end if;
    insert into smsretry.stops (kind, subject, since, why, who)
    select
        kind,
        subject,
        smsretry.clock(),
        left(smsretry.numberless(why), smsretry.longest_reason()),
        who
    where case kind
        when 'sender'
            then exists (select from smsretry.senders s where s.id::text = subject)
        when 'business'
            then exists (select from public.businesses b where b.id::text = subject)
        else true
    end
    on conflict on constraint stops_pkey
    do update set why = excluded.why, who = excluded.who;
    return found;
end
$$;
