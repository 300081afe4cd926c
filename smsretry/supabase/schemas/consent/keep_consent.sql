-- What the application writes into customers counts as said, for the number and not for the row (smsretry.consents). Later means
-- written later and dated later: not a row that is imported later, is saved unchanged, or only receives the number. A date that has
-- not come lifts nothing, now or when it has (an application's clock may be fast by five minutes); nor does one that the number has
-- borne before. The change is told as an event, too.
-- security definer, because tenants may write customers and not consents. There is no exception block, which would cost each row of
-- a statement a transaction id: if a word cannot be kept, the application's write is refused, so that nobody takes it for kept.
create or replace function smsretry.keep_consent()
returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    v_now constant timestamptz := smsretry.clock();
    -- Of an insert, old is null: all of it is new.
    v_changed constant boolean := old.sms_consent_status is distinct from new.sms_consent_status;
    v_moved constant boolean := (old.business_id, old.phone) is distinct from (new.business_id, new.phone);
    -- An application that saves whole rows may cut off microseconds, and so write an earlier time. One that has not come is corrected.
    v_later constant boolean := coalesce(
        new.sms_consent_at > case when old.sms_consent_at <= v_now then old.sms_consent_at else '-infinity' end, false);
    v_dated timestamptz := new.sms_consent_at;
    v_key bytea;
begin
    if tg_op = 'DELETE' then
        if old.phone is not null and old.sms_consent_status::text = 'opted_out' and not exists ( -- written while triggers were off
                select from smsretry.consents k
                where k.number_key = smsretry.number_key(old.business_id, old.phone) and k.said = 'opted_out'
                  and k.dated >= coalesce(old.sms_consent_at, '-infinity')) then
            perform smsretry.say_opted_out(
                array[old.business_id], old.phone, old.sms_consent_source::text, old.sms_consent_at);
        end if;
        return null;
    end if;
    if tg_op = 'UPDATE' and v_changed then
        v_dated := case when v_later then v_dated else v_now end; -- or it is dated before the consent that ends here
        insert into smsretry.events (at, about, code, detail)
        values (v_now, new.id, 'consent_changed', jsonb_build_object(
            'was', left(old.sms_consent_status::text, 40), 'became', left(new.sms_consent_status::text, 40),
            'source', left(smsretry.numberless(left(new.sms_consent_source::text, 1000)), 200)));
    end if;
    if tg_op = 'UPDATE' and old.phone is distinct from new.phone then
        insert into smsretry.events (at, about, code, detail)
        values (v_now, new.id, 'number_changed', jsonb_build_object(
            'was', smsretry.masked(old.phone::text), 'became', smsretry.masked(new.phone::text)));
        if old.phone is not null and v_changed and new.sms_consent_status::text = 'opted_out' then -- and the number is taken from it
            perform smsretry.say_opted_out(array[old.business_id], old.phone, new.sms_consent_source::text, v_dated);
        end if;
    end if;
    if new.phone is null then
        return null;
    end if;
    v_key := smsretry.number_key(new.business_id, new.phone);
    if v_moved then -- what the number said before this business knew it
        perform smsretry.say_opted_out(array[new.business_id], new.phone, o.source, o.dated, o.senders)
        from smsretry.standing_opt_outs o
        where o.number_key = smsretry.number_key(null, new.phone)
          and (o.senders is null or smsretry.sends_through(new.business_id, o.senders))
          and not exists (select from smsretry.consents k
                          where k.number_key = v_key and k.said <> 'opted_out' and k.said = 'opted_in' and k.id > o.id)
        order by o.dated desc;
    end if;
    if new.sms_consent_status::text = 'opted_out' then
        if v_changed or v_later or v_moved
            -- Another source alone opts nobody out again who has opted in since.
            or old.sms_consent_source is distinct from new.sms_consent_source
               and exists (select from smsretry.standing_opt_outs o where o.number_key = v_key) then
            perform smsretry.say_opted_out(
                array[new.business_id], new.phone, new.sms_consent_source::text, v_dated, null,
                new.id, case when v_changed then old.sms_consent_status::text end);
        end if;
    elsif new.sms_consent_status::text = 'opted_in' and (v_changed or v_later)
        and new.sms_consent_at <= v_now + interval '5 minutes' and not smsretry.has_borne(v_key, new.sms_consent_at)
        and exists (select from smsretry.standing_opt_outs o
                    where o.number_key = v_key and o.dated < least(new.sms_consent_at, v_now)) then
        insert into smsretry.consents (number_key, business_id, said, source, at, dated)
        values (v_key, new.business_id, 'opted_in', left(new.sms_consent_source::text, 200), v_now, new.sms_consent_at);
    end if;
    insert into smsretry.consents (number_key, business_id, said, at, dated)
    select v_key, new.business_id, 'seen', v_now, d.dated
    from (select old.sms_consent_at, false where old.sms_consent_status::text = 'opted_in' -- the clock may have been set back
          union
          select new.sms_consent_at, old.phone is not null and v_moved and not v_changed and not v_later
          where new.sms_consent_status::text = 'opted_in') d (dated, of_another_number)
    where (d.dated > v_now or d.dated is not null and d.of_another_number) and not smsretry.has_borne(v_key, d.dated);
    return null;
end
$$;
