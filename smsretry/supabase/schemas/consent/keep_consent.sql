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
    v_inserted constant boolean := tg_op = 'INSERT';
    v_changed boolean := false;
    v_moved boolean := false;
    v_later boolean := false;
    v_new boolean := false;
    v_dated timestamptz;
    v_key bytea;
begin
    if tg_op = 'DELETE' then -- of a row that was written while triggers were off
        if old.phone is not null and old.sms_consent_status::text = 'opted_out' and not exists (
            select from smsretry.standing_opt_outs o where o.number_key = smsretry.number_key(old.business_id, old.phone)) then
            perform smsretry.say_opted_out(
                array[old.business_id], old.phone, old.sms_consent_source::text, coalesce(old.sms_consent_at, v_now));
        end if;
        return null;
    end if;
    v_dated := coalesce(new.sms_consent_at, v_now);
    if tg_op = 'UPDATE' then
        v_changed := old.sms_consent_status is distinct from new.sms_consent_status;
        v_moved := (old.business_id, old.phone) is distinct from (new.business_id, new.phone);
        -- An application that saves whole rows may cut off microseconds, and so write an earlier time.
        v_later := coalesce(new.sms_consent_at > coalesce(old.sms_consent_at, '-infinity'), false);
        if v_changed and old.sms_consent_at is not distinct from new.sms_consent_at then
            v_dated := v_now; -- the date is that of the consent that ends here
        end if;
        if v_changed then
            insert into smsretry.events (at, about, code, detail)
            values (v_now, new.id, 'consent_changed', jsonb_build_object(
                'was', left(old.sms_consent_status::text, 40), 'became', left(new.sms_consent_status::text, 40),
                'source', left(smsretry.numberless(left(new.sms_consent_source::text, 1000)), 200)));
        end if;
        if old.phone is distinct from new.phone then
            insert into smsretry.events (at, about, code, detail)
            values (v_now, new.id, 'number_changed', jsonb_build_object(
                'was', smsretry.masked(old.phone::text), 'became', smsretry.masked(new.phone::text)));
        end if;
        -- The same write may opt out and take the number from the row.
        if v_changed and v_moved and new.sms_consent_status::text = 'opted_out' and old.phone is not null then
            perform smsretry.say_opted_out(array[old.business_id], old.phone, new.sms_consent_source::text, v_dated);
        end if;
    end if;
    if new.phone is null then
        return null;
    end if;
    v_key := smsretry.number_key(new.business_id, new.phone);
    if v_inserted or v_moved then -- what the number said before this business knew it
        insert into smsretry.consents (number_key, business_id, said, source, at, dated, senders)
        select v_key, new.business_id, 'opted_out', o.source, v_now, o.dated, o.senders
        from smsretry.standing_opt_outs o
        where o.number_key = smsretry.number_key(null, new.phone)
          and (o.senders is null or smsretry.sends_through(new.business_id, o.senders))
          and not exists (select from smsretry.consents k where k.number_key = v_key and k.said = 'opted_out' and k.id > o.id)
          and not exists (select from smsretry.consents k
                          where k.number_key = v_key and k.said <> 'opted_out' and k.said = 'opted_in' and k.id > o.id);
    end if;
    if v_moved and old.phone is not null then -- the row's earlier dates are no news for its new number either
        insert into smsretry.consents (number_key, business_id, said, at, dated)
        select distinct v_key, new.business_id, 'seen', v_now, d.dated
        from (select i.dated from smsretry.consents i
              where i.number_key = smsretry.number_key(old.business_id, old.phone) and i.said <> 'opted_out'
              union all
              select new.sms_consent_at where new.sms_consent_status::text = 'opted_in' and not v_later and not v_changed) d
        where d.dated is not null;
    end if;

    if new.sms_consent_status::text = 'opted_out' then
        if v_changed and old.sms_consent_status::text = 'opted_in' and old.sms_consent_at >= v_dated
            and not smsretry.has_borne(v_key, old.sms_consent_at) then
            insert into smsretry.consents (number_key, business_id, said, at, dated)
            values (v_key, new.business_id, 'seen', v_now, old.sms_consent_at); -- the consent that ends here, whatever its date
        end if;
        insert into smsretry.consents (number_key, business_id, said, source, at, dated, customer_id, was)
        select v_key, new.business_id, 'opted_out', left(new.sms_consent_source::text, 200), v_now, v_dated, new.id,
               case when v_changed then left(old.sms_consent_status::text, 40) end
        -- Another source alone opts nobody out again who has opted in since.
        where (v_inserted or v_changed or v_later or v_moved or old.sms_consent_source is distinct from new.sms_consent_source
               and exists (select from smsretry.standing_opt_outs o where o.number_key = v_key))
          -- Our own functions have kept it; and so was one that is no earlier, and no easier for a START to take back.
          and not exists (
              select from smsretry.standing_opt_outs o
              where o.number_key = v_key and o.dated >= case when v_changed then v_dated else coalesce(new.sms_consent_at, '-infinity') end
                and (smsretry.start_takes_back(new.sms_consent_source::text) or not smsretry.start_takes_back(o.source)));
        -- Rows of one statement have no order but their dates.
        insert into smsretry.consents (number_key, business_id, said, source, at, dated)
        select v_key, new.business_id, 'opted_in', left(c.sms_consent_source::text, 200), v_now, c.sms_consent_at
        from public.customers c
        where c.id = smsretry.later_opt_in(new.business_id, new.phone, v_dated) and c.id <> new.id
          and c.xmin = pg_current_xact_id()::xid;
    elsif new.sms_consent_status::text = 'opted_in' and new.sms_consent_at is not null then
        if smsretry.has_borne(v_key, new.sms_consent_at) then
            return null;
        end if;
        if (v_inserted or v_changed or v_later) and new.sms_consent_at <= v_now + interval '5 minutes' then
            insert into smsretry.consents (number_key, business_id, said, source, at, dated)
            select v_key, new.business_id, 'opted_in', left(new.sms_consent_source::text, 200), v_now, new.sms_consent_at
            where exists (select from smsretry.standing_opt_outs o
                          where o.number_key = v_key and o.dated < least(new.sms_consent_at, v_now));
            v_new := found;
        end if;
        if new.sms_consent_at > v_now and not v_new then
            insert into smsretry.consents (number_key, business_id, said, at, dated)
            values (v_key, new.business_id, 'seen', v_now, new.sms_consent_at);
        end if;
    end if;
    return null;
end
$$;
