-- An opt-out belongs to a number at a business and outlives the customer's row. Only a later opt-in (sms_consent_at) lifts
-- it: not a row that is imported later, is saved unchanged, or only receives the number. A START (inbound_start) lifts what
-- a START may. Later means written later and dated later. A future date lifts nothing, even after it has come
-- (stale_opt_ins). The same holds for the consent that an opt-out ends, in case a clock was set back.
-- security definer, because tenants may write customers and not suppressions. It never refuses their write.
create or replace function smsretry.keep_suppression()
returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_now timestamptz;
    v_key bytea;
    v_since timestamptz;
    v_changed boolean;
    v_moved boolean;
    v_anew boolean;
    v_second timestamptz;
begin
    -- Not in the declarations: the exception handler does not cover those.
    v_now := smsretry.clock();
    v_since := coalesce(new.sms_consent_at, v_now);
    v_changed := tg_op = 'UPDATE' and old.sms_consent_status is distinct from new.sms_consent_status;
    v_moved := tg_op = 'UPDATE' and (old.business_id, old.phone) is distinct from (new.business_id, new.phone);
    -- Only the status changed: the time is that of the consent that ends here.
    if v_changed and old.sms_consent_at is not distinct from new.sms_consent_at then
        v_since := v_now;
    end if;
    -- The same write may opt out and remove the number from the row.
    if v_changed and v_moved and new.sms_consent_status::text = 'opted_out' and old.phone is not null then
        perform smsretry.suppress(
            old.business_id, smsretry.number_key(old.business_id, old.phone), v_since, new.sms_consent_source::text);
    end if;
    if new.phone is null then
        return new;
    end if;
    v_key := smsretry.number_key(new.business_id, new.phone);
    if v_moved and old.phone is not null then -- the row's earlier dates are no news for its new number either
        perform smsretry.keep_stale(v_key, o.at)
        from smsretry.stale_opt_ins o where o.number_key = smsretry.number_key(old.business_id, old.phone);
    end if;
    -- An application that saves whole rows may cut off microseconds, and so write an earlier time.
    v_anew := tg_op = 'INSERT' or v_changed
        or coalesce(new.sms_consent_at > coalesce(old.sms_consent_at, '-infinity'), false);
    if new.sms_consent_status::text = 'opted_out' then
        if v_anew or v_moved
            or (old.sms_consent_source is distinct from new.sms_consent_source
                and smsretry.suppressed_since(v_key) is not null) then
            perform smsretry.suppress(new.business_id, v_key, v_since, new.sms_consent_source::text);
        end if;
        if v_changed and old.sms_consent_status::text = 'opted_in' and old.sms_consent_at >= v_since then
            perform smsretry.keep_stale(v_key, old.sms_consent_at);
        end if;
    elsif new.sms_consent_status::text = 'opted_in' and new.sms_consent_at is not null then
        -- Applications cut off or round to milliseconds or seconds.
        v_second := date_trunc('second', new.sms_consent_at);
        v_anew := v_anew and new.sms_consent_at <= v_now + smsretry.fast_clock() and not exists (
            select 1 from smsretry.stale_opt_ins o
            where o.number_key = v_key and o.at in (v_second, v_second - interval '1 second'));
        if v_anew then
            perform smsretry.lift(
                v_key, least(new.sms_consent_at, v_now), new.sms_consent_source::text is not distinct from 'inbound_start');
        end if;
        if new.sms_consent_at > v_now or v_moved and not v_anew and smsretry.suppressed_since(v_key) < new.sms_consent_at then
            perform smsretry.keep_stale(v_key, new.sms_consent_at);
        end if;
    end if;
    if v_changed and new.sms_consent_status::text = 'opted_out' and smsretry.start_takes_back(new.sms_consent_source::text) then
        insert into smsretry.stopped_consents (customer_id, number_key, consent)
        values (new.id, v_key, old.sms_consent_status::text) -- for a later START
        on conflict (customer_id) do update set number_key = excluded.number_key, consent = excluded.consent;
    elsif v_changed then
        delete from smsretry.stopped_consents t where t.customer_id = new.id;
    end if;
    return new;
exception when others then
    raise warning 'The consent of customer % could not be kept for its number: %', new.id, sqlstate;
    return new;
end
$$;
