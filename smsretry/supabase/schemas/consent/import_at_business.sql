-- Record opt-outs that come from elsewhere at one business, of numbers that no customer has as well: import_sms_opt_outs. A number
-- whose customer opted in later than it opted out is left alone.
--   recorded, known, outlived and unreadable are numbers · customers, cancelled, unmarked: smsretry.follow_opt_out
--   undated: lines that count as of as_of · notes: of each number that is not recorded, its line and why
create or replace function smsretry.import_at_business(
    business_id uuid, opt_outs jsonb, as_of timestamptz, source text, who text, because text,
    out recorded integer, out known integer, out customers integer, out cancelled integer, out unmarked integer,
    out undated integer, out notes jsonb
)
language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    v_line record;
    v_later uuid;
    v_known boolean;
    v_done record;
begin
    recorded := 0; known := 0; customers := 0; cancelled := 0; unmarked := 0; undated := 0; notes := '[]';
    for v_line in
        select w.phone, min(w.line) as line, count(*)::integer as lines, smsretry.number_key(business_id, w.phone) as number_key,
               count(*) filter (where (w.at <= as_of) is not true)::integer as undated,
               case when bool_or((w.at <= as_of) is not true) then as_of else max(w.at) end as at
        from (select case when e.value ->> 'line' ~ '^[0-9]{1,15}$' then (e.value ->> 'line')::bigint else e.place end as line,
                     case when e.value ->> 'phone' ~ '^[+][1-9][0-9]{6,14}$' then e.value ->> 'phone' end as phone,
                     smsretry.instant_of(e.value ->> 'at') as at
              from jsonb_array_elements(opt_outs) with ordinality e (value, place)) w
        group by w.phone, case when w.phone is null then w.line end
        order by w.phone, 2 -- two imports lock customers in the same order
    loop
        if v_line.phone is null then
            notes := notes || jsonb_build_object('line', v_line.line, 'what', 'unreadable', 'lines', 1);
            continue;
        end if;
        undated := undated + v_line.undated;
        v_later := smsretry.later_opt_in(business_id, v_line.phone, v_line.at);
        if v_later is not null then
            notes := notes || jsonb_build_object(
                'line', v_line.line, 'what', 'outlived', 'lines', v_line.lines, 'customer_id', v_later, 'business_id', business_id);
            continue;
        end if;
        v_known := exists (
            select from smsretry.standing_opt_outs o
            where o.number_key = v_line.number_key and (o.dated >= v_line.at or v_line.undated > 0)
              and not smsretry.start_takes_back(o.source));
        known := known + v_line.lines - 1 + v_known::integer;
        if not v_known then
            recorded := recorded + 1;
            perform smsretry.say_opted_out(array[business_id], v_line.phone, source, v_line.at);
        end if;
        continue when not exists (
            select from public.customers c
            where c.phone = v_line.phone and (c.business_id = business_id) is true
              and (not v_known or c.sms_consent_status::text is distinct from 'opted_out'));
        select * into v_done from smsretry.follow_opt_out(array[business_id], v_line.phone);
        customers := customers + v_done.customers;
        cancelled := cancelled + v_done.cancelled;
        unmarked := unmarked + v_done.unmarked;
        perform smsretry.note_event(c.id, 'opted_out', who, because) from public.customers c
        where c.phone = v_line.phone and (c.business_id = business_id) is true;
    end loop;
end
$$;
