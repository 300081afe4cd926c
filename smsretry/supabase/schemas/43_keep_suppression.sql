-- An opt-out is of a number at a business, whoever records it on whichever of its customers' rows, and outlives the row.
-- It is lifted by an opt-in that was recorded later (sms_consent_at), and by nothing else: a row imported after the
-- opt-out says nothing new.
-- security definer, because tenants write customers and may not write suppressions. It never refuses a write of theirs.
create or replace function smsretry.keep_suppression()
returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_key constant bytea := smsretry.number_key(new.business_id, new.phone);
    v_since timestamptz := coalesce(new.sms_consent_at, smsretry.clock());
begin
    -- Only the status was changed: the time is still that of the consent which ends here.
    if tg_op = 'UPDATE' and old.sms_consent_status is distinct from new.sms_consent_status
        and old.sms_consent_at is not distinct from new.sms_consent_at then
        v_since := smsretry.clock();
    end if;
    if new.sms_consent_status::text = 'opted_out' then
        insert into smsretry.suppressions (number_key, business_id, since, source)
        values (v_key, new.business_id, v_since, left(new.sms_consent_source, 200))
        on conflict (number_key) do update set since = excluded.since, source = excluded.source
        where suppressions.since < excluded.since;
    elsif new.sms_consent_status::text = 'opted_in' then
        delete from smsretry.suppressions s where s.number_key = v_key and s.since < new.sms_consent_at;
    end if;
    return new;
exception when others then
    raise warning 'The consent of customer % could not be kept for its number: %', new.id, sqlstate;
    return new;
end
$$;

revoke all on function smsretry.keep_suppression from public, anon, authenticated;
