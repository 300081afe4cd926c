-- Take back at these businesses, for somebody who texted START, what a STOP or the provider's
-- refusal did (smsretry.standing_opt_outs), also a STOP to a sender that the business has left. A
-- customer's row that says another opt-out stands for it, too. Returns the businesses at which no
-- opt-out stands then. A START that takes nothing back is not kept.
--   by_yes: smsretry.start_takes_back
--   senders: that received it; null: every one
create or replace function smsretry.start_again(
    businesses uuid[],
    phone text,
    at timestamptz,
    by_yes boolean,
    senders text[]
)
returns uuid[]
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_business uuid;
    v_key bytea;
    v_customers record;
    v_clear uuid[] := '{}';
begin
    foreach v_business in array start_again.businesses loop
        v_key := smsretry.number_key(v_business, start_again.phone);
        select
            count(*) > 0 as say_opted_out,
            coalesce(
                bool_and(
                    smsretry.start_takes_back(
                        c.sms_consent_source::text,
                        start_again.by_yes
                    )
                ),
                true
            ) as give_way
        into v_customers
        from public.customers c
        where c.phone = start_again.phone
          and (c.business_id = v_business) is true
          and c.sms_consent_status::text = 'opted_out';
        if v_customers.give_way
            and (
                v_customers.say_opted_out
                or exists (
                    select from smsretry.standing_opt_outs o
                    where o.number_key = v_key
                )
            ) then
            insert into smsretry.consents (
                number_key,
                business_id,
                said,
                source,
                at,
                senders
            )
            values (
                v_key,
                v_business,
                'opted_in',
                case
                    when start_again.by_yes then 'inbound_yes'
                    else 'inbound_start'
                end,
                start_again.at,
                case
                    when start_again.senders is not null
                        then start_again.senders
                            || array(
                                select s.sender
                                from smsretry.standing_opt_outs o
                                cross join unnest(o.senders) s (sender)
                                where o.number_key = v_key
                                  and v_business is not null
                                  and not smsretry.sends_through(
                                      v_business,
                                      o.senders
                                  )
                            )
                end
            );
            if not exists (
                select from smsretry.standing_opt_outs o
                where o.number_key = v_key
            ) then
                v_clear := v_clear || v_business;
            end if;
        end if;
    end loop;
    return v_clear;
end
$$;
