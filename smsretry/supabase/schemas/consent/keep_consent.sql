-- Keep what the application writes to customers as words, for the number and not for the row
-- (smsretry.consents). A word must be new: a row that is saved unchanged or cut off to seconds, an
-- old date, and a date that only came along with a number say nothing. security definer, because
-- tenants may not write consents. An exception block would cost each row of a statement a
-- transaction id, so a word that cannot be kept refuses the write, and nobody takes it for kept.
create or replace function smsretry.keep_consent()
returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_now constant timestamptz := smsretry.clock();
    -- In an insert old is null, so all is new.
    v_is_changed constant boolean := old.sms_consent_status
        is distinct from new.sms_consent_status;
    v_is_moved constant boolean := (
        old.business_id,
        old.phone
    ) is distinct from (new.business_id, new.phone);
    -- A date that has not come is corrected by any other.
    v_is_later constant boolean := coalesce(
        new.sms_consent_at > case
            when old.sms_consent_at <= v_now then old.sms_consent_at
            else '-infinity'
        end,
        false
    );
    v_is_said constant boolean := v_is_changed or v_is_later;
    v_dated constant timestamptz := case
        when tg_op = 'UPDATE' and v_is_changed and not v_is_later
            then v_now -- its date is that of the consent which ends here
        else new.sms_consent_at
    end;
    v_key bytea;
    v_from_key bytea;
    v_earlier_key constant bytea := case
        when old.business_id = new.business_id
          and new.sms_consent_status::text <> 'opted_out' -- else the row says so itself
            then smsretry.number_key(old.business_id, old.phone)
    end;
begin
    if tg_op = 'DELETE' then
        -- perhaps written while triggers were off
        if old.sms_consent_status::text = 'opted_out' then
            perform smsretry.keep_opt_out(
                old.business_id,
                old.phone,
                old.sms_consent_source::text,
                old.sms_consent_at,
                once => true
            );
        end if;
        return null;
    end if;

    if tg_op = 'UPDATE' and v_is_changed then
        insert into smsretry.events (at, about, code, detail)
        values (
            v_now,
            new.id,
            'consent_changed',
            jsonb_build_object(
                'was', left(old.sms_consent_status::text, 40),
                'became', left(new.sms_consent_status::text, 40),
                'source', left(
                    smsretry.numberless(left(new.sms_consent_source::text, 1000)),
                    200
                )
            )
        );
    end if;
    if tg_op = 'UPDATE' and old.phone is distinct from new.phone then
        insert into smsretry.events (at, about, code, detail)
        values (
            v_now,
            new.id,
            'number_changed',
            jsonb_build_object(
                'was', smsretry.masked(old.phone::text),
                'became', smsretry.masked(new.phone::text)
            )
        );
        if v_is_changed and new.sms_consent_status::text = 'opted_out' then
            perform smsretry.keep_opt_out(
                old.business_id,
                old.phone,
                new.sms_consent_source::text,
                v_dated
            );
        end if;
    end if;
    if new.phone is null then
        return null;
    end if;

    v_key := smsretry.number_key(new.business_id, new.phone);
    -- what the number said before this business knew it, or the customer at an earlier one
    if v_is_moved then
        foreach v_from_key in array array[
            v_earlier_key,
            smsretry.number_key(null, new.phone)
        ] loop
            perform smsretry.keep_opt_out(
                new.business_id,
                new.phone,
                o.source,
                o.dated,
                o.senders
            )
            from smsretry.standing_opt_outs o
            where o.number_key = v_from_key
              and (
                  v_from_key = v_earlier_key
                  or smsretry.concerns(new.business_id, v_key, o.senders)
              )
              and not exists (
                  select from smsretry.consents i
                  where i.number_key = v_key
                    and i.said = 'opted_in'
                    and i.id + 0 > o.id -- by the number's index alone
                  offset 0
              )
            order by o.dated desc;
        end loop;
    end if;

    if new.sms_consent_status::text = 'opted_out' then
        if v_is_changed
            and smsretry.start_takes_back(new.sms_consent_source::text)
        then -- a START gives back what this ends
            insert into smsretry.consents (
                number_key,
                business_id,
                said,
                at,
                customer_id,
                was
            )
            values (
                v_key,
                new.business_id,
                'ended',
                v_now,
                new.id,
                left(old.sms_consent_status::text, 40)
            );
        end if;
        if v_is_said
            or v_is_moved
            -- Another source alone opts nobody out again who has opted in since.
            or old.sms_consent_source is distinct from new.sms_consent_source
                and exists (
                    select from smsretry.standing_opt_outs o
                    where o.number_key = v_key
                ) then
            perform smsretry.keep_opt_out(
                new.business_id,
                new.phone,
                new.sms_consent_source::text,
                v_dated
            );
        end if;
    end if;

    -- An opt-in lifts the opt-outs before its date, once that has come; an application's clock may
    -- be five minutes fast. Seen is a date that has not come, or came along with the number: it
    -- lifts nothing later either.
    insert into smsretry.consents (number_key, business_id, said, source, at, dated)
    select distinct
        v_key,
        new.business_id,
        w.said,
        case w.said when 'opted_in' then left(new.sms_consent_source::text, 200) end,
        v_now,
        w.dated
    from (
        select
            d.dated,
            case
                when d.is_said
                  and d.dated <= v_now + interval '5 minutes'
                  and exists (
                      select from smsretry.standing_opt_outs o
                      where o.number_key = v_key
                        and o.dated < least(d.dated, v_now)
                  )
                    then 'opted_in'
                when d.dated > d.is_seen_after then 'seen'
            end as said
        from (
            values
                -- the clock may have been set back
                (old.sms_consent_status::text, old.sms_consent_at, false, v_now),
                (
                    new.sms_consent_status::text,
                    new.sms_consent_at,
                    v_is_said,
                    case
                        when v_is_said or old.phone is null or not v_is_moved
                            then v_now
                        else '-infinity'
                    end
                )
        ) d (status, dated, is_said, is_seen_after)
        where d.status = 'opted_in'
    ) w
    where w.said is not null
      and not smsretry.is_known_opt_in(v_key, w.dated);
    return null;
end
$$;
