-- An opt-out is of a number at a business, whoever records it on whichever of its customers' rows, and outlives the row.
-- It is lifted by an opt-in that was recorded later (sms_consent_at), and by nothing else: a row imported after the
-- opt-out says nothing new, nor does one that only comes to have the number, or is saved as it was. A START (inbound_start)
-- lifts what a START may.
-- What consent was before a STOP is kept for a later START, while that opt-out stands on the customer's row.
-- security definer, because tenants write customers and may not write suppressions. It never refuses a write of theirs.
create or replace function smsretry.keep_suppression()
returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_key bytea;
    v_since timestamptz;
    v_changed boolean;
    v_anew boolean;
begin
    -- Here and not above: of what fails there the handler does not hear.
    v_key := smsretry.number_key(new.business_id, new.phone);
    v_since := coalesce(new.sms_consent_at, smsretry.clock());
    v_changed := tg_op = 'UPDATE' and old.sms_consent_status is distinct from new.sms_consent_status;
    -- Only the status was changed: the time is still that of the consent which ends here.
    if v_changed and old.sms_consent_at is not distinct from new.sms_consent_at then
        v_since := smsretry.clock();
    end if;
    -- An application that saves whole rows may write an earlier time, too: it cuts off microseconds.
    v_anew := tg_op = 'INSERT' or v_changed
        or coalesce(new.sms_consent_at > coalesce(old.sms_consent_at, '-infinity'), false);
    if new.sms_consent_status::text = 'opted_out' then
        if v_anew or (old.business_id, old.phone) is distinct from (new.business_id, new.phone)
            or (old.sms_consent_source is distinct from new.sms_consent_source
                and smsretry.suppressed_since(v_key) is not null) then
            perform smsretry.suppress(new.business_id, v_key, v_since, new.sms_consent_source::text);
        end if;
    elsif new.sms_consent_status::text = 'opted_in' and v_anew then
        delete from smsretry.suppressions s
        where s.number_key = v_key and s.since < new.sms_consent_at
          and (new.sms_consent_source::text is distinct from 'inbound_start' or smsretry.start_lifts(s.source));
        delete from smsretry.unwritten_consents u
        where u.number_key = v_key and u.since < new.sms_consent_at and u.consent = 'opted_out'
          and (new.sms_consent_source::text is distinct from 'inbound_start' or smsretry.start_lifts(u.source));
    end if;
    if v_changed and new.sms_consent_status::text = 'opted_out' and smsretry.start_lifts(new.sms_consent_source::text) then
        insert into smsretry.stopped_consents (customer_id, number_key, consent)
        values (new.id, v_key, old.sms_consent_status::text)
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

revoke all on function smsretry.keep_suppression from public, anon, authenticated;
