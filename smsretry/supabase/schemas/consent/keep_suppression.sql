-- An opt-out is of a number at a business, whoever records it on whichever of its customers' rows, and outlives the row.
-- It is lifted by an opt-in that was recorded later (sms_consent_at), and by nothing else: a row imported after the
-- opt-out says nothing new, nor does one that only comes to have the number, or is saved as it was. A START (inbound_start)
-- lifts what a START may.
-- Later is what was written later and bears a later date. What has not happened yet lifts nothing, and is known again when
-- its date has come (stale_opt_ins). So is the consent that an opt-out ends, whatever its date, should a clock have been
-- set back. A row that is opted in from tomorrow on is opted in: where nobody said stop, texts go out.
-- security definer, because tenants write customers and may not write suppressions. It never refuses a write of theirs.
create or replace function smsretry.keep_suppression()
returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    -- An application's clock may be fast by that much. It is no policy.
    k_fast constant interval := '5 minutes';
    v_now timestamptz;
    v_key bytea;
    v_since timestamptz;
    v_changed boolean;
    v_moved boolean;
    v_anew boolean;
    v_second timestamptz;
begin
    -- Here and not above: of what fails there the handler does not hear.
    v_now := smsretry.clock();
    v_since := coalesce(new.sms_consent_at, v_now);
    v_changed := tg_op = 'UPDATE' and old.sms_consent_status is distinct from new.sms_consent_status;
    v_moved := tg_op = 'UPDATE' and (old.business_id, old.phone) is distinct from (new.business_id, new.phone);
    -- Only the status was changed: the time is still that of the consent which ends here.
    if v_changed and old.sms_consent_at is not distinct from new.sms_consent_at then
        v_since := v_now;
    end if;
    -- Who opts out may take the number off the row with the same write.
    if v_changed and v_moved and new.sms_consent_status::text = 'opted_out' and old.phone is not null then
        perform smsretry.suppress(
            old.business_id, smsretry.number_key(old.business_id, old.phone), v_since, new.sms_consent_source::text);
    end if;
    if new.phone is null then
        return new;
    end if;
    v_key := smsretry.number_key(new.business_id, new.phone);
    if v_moved and old.phone is not null then -- what was said before of the row is no news of its new number either
        perform smsretry.keep_stale(v_key, o.at)
        from smsretry.stale_opt_ins o where o.number_key = smsretry.number_key(old.business_id, old.phone);
    end if;
    -- An application that saves whole rows may write an earlier time, too: it cuts off microseconds.
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
        -- Applications keep microseconds, milliseconds or seconds, and cut off or round.
        v_second := date_trunc('second', new.sms_consent_at);
        v_anew := v_anew and new.sms_consent_at <= v_now + k_fast and not exists (
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
    if v_changed then
        perform smsretry.keep_stopped_consent(
            new.id, v_key, old.sms_consent_status::text,
            new.sms_consent_status::text = 'opted_out' and smsretry.start_takes_back(new.sms_consent_source::text));
    end if;
    return new;
exception when others then
    raise warning 'The consent of customer % could not be kept for its number: %', new.id, sqlstate;
    return new;
end
$$;
