-- Opt out the numbers that carriers deactivated on a day, of which whoever has one now said
-- nothing; for the nightly flow. Those of customers opt out at each business, as of that day's end,
-- by the source deactivated; the others are passed over. May be repeated: what is kept stays as it
-- is, and so does an opt-in that came later. At most 500 numbers a call.
--   recorded: numbers
--   customers, cancelled, unmarked: as import_sms_opt_outs
--   of_customers: how many there are, if some are concerned
create or replace function public.end_deactivated_sms_consent(
    day date,
    phones text[],
    dry_run boolean default true
)
returns table (
    recorded integer,
    customers integer,
    cancelled integer,
    unmarked integer,
    of_customers bigint
)
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
    v_ended constant timestamptz := (day + 1)::timestamp at time zone 'UTC';
begin
    return query
    select
        i.recorded,
        i.customers,
        i.cancelled,
        i.unmarked,
        case when i.customers > 0 then (select count(*) from public.customers) end
    from public.import_sms_opt_outs(
        array_to_json(
            array(
                select jsonb_build_object('phone', p.phone, 'at', v_ended)
                from unnest(phones) p (phone)
                where exists (
                    select from public.customers c
                    where c.phone = p.phone
                    offset 0
                )
                  and not exists (
                      select from smsretry.consents o
                      where o.subject_key = smsretry.number_key(null, p.phone)
                        and o.said = 'opted_out'
                        and o.source = 'deactivated'
                        and o.dated = v_ended
                      offset 0
                  ) -- what opted in again since stays so
            )
        )::jsonb,
        all_businesses => true,
        dry_run => end_deactivated_sms_consent.dry_run,
        who => 'smsretry',
        because => 'A carrier deactivated the number on '
            || to_char(day, 'YYYY-MM-DD'),
        source => 'deactivated'
    ) i;
end
$$;
