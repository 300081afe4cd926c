-- What the application writes into customers counts as said, for the number and not for the row
-- (smsretry.consents). Later means
-- written and dated later: not a row that is imported later, is saved unchanged, or only receives
-- the number. security definer, because tenants may not write consents. An exception block would
-- cost each row of a statement a transaction id, so a word that cannot be kept refuses the write,
-- and nobody takes it for kept.
create or replace function smsretry.keep_consent()
returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_now constant timestamptz := smsretry.clock();
    -- Of an insert, old is null: all of it is new.
    v_is_changed constant boolean := old.sms_consent_status
        is distinct from new.sms_consent_status;
    v_is_moved constant boolean := (
        old.business_id,
        old.phone
    ) is distinct from (new.business_id, new.phone);
    -- An application that saves whole rows may cut off microseconds. A time that has not come is
    -- corrected.
    v_is_later constant boolean := coalesce(
        new.sms_consent_at > case
            when old.sms_consent_at <= v_now then old.sms_consent_at
            else '-infinity'
        end,
        false
    );
    v_dated timestamptz := new.sms_consent_at;
    v_key bytea;
begin
    if tg_op = 'DELETE' then
        v_key := smsretry.number_key(old.business_id, old.phone);
        if old.sms_consent_status::text = 'opted_out'
            and old.phone is not null
            and not exists (
                select from smsretry.consents o
                where o.number_key = v_key
                  and o.said = 'opted_out'
                  and o.dated >= coalesce(old.sms_consent_at, '-infinity')
            ) then -- written while triggers were off
            perform smsretry.keep_opt_out(
                old.business_id,
                old.phone,
                old.sms_consent_source::text,
                old.sms_consent_at
            );
        end if;
        return null;
    end if;

    if tg_op = 'UPDATE' and v_is_changed then
        -- or it is dated before the consent that ends here
        v_dated := case when v_is_later then v_dated else v_now end;
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
    if tg_op = 'UPDATE'
        and old.phone is distinct from new.phone
    then
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
        if v_is_changed
            and new.sms_consent_status::text = 'opted_out'
            and old.phone is not null
        then
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
    if v_is_moved then -- what the number said before this business knew it
        perform smsretry.keep_opt_out(
            new.business_id,
            new.phone,
            o.source,
            o.dated,
            o.senders
        )
        from smsretry.standing_opt_outs o
        where o.number_key = smsretry.number_key(null, new.phone)
          and smsretry.concerns(new.business_id, v_key, o.senders)
          and not exists (
              select from smsretry.consents i
              where i.number_key = v_key
                and i.said = 'opted_in'
                and i.id > o.id
              offset 0
          )
        order by o.dated desc;
    end if;
    if new.sms_consent_status::text = 'opted_out' then
        if v_is_changed
            and smsretry.start_takes_back(new.sms_consent_source::text)
        then -- which gives it back
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
        if v_is_changed
            or v_is_later
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
    elsif new.sms_consent_status::text = 'opted_in'
        and (v_is_changed or v_is_later)
        -- It lifts what stands if its date is later, has come, and is news. An application's clock
        -- may be fast.
        and new.sms_consent_at <= v_now + interval '5 minutes'
        and exists (
            select from smsretry.standing_opt_outs o
            where o.number_key = v_key
              and o.dated < least(new.sms_consent_at, v_now)
        )
        and not smsretry.is_known_opt_in(v_key, new.sms_consent_at)
    then
        insert into smsretry.consents (
            number_key,
            business_id,
            said,
            source,
            at,
            dated
        )
        values (
            v_key,
            new.business_id,
            'opted_in',
            left(new.sms_consent_source::text, 200),
            v_now,
            new.sms_consent_at
        );
    end if;
    -- A date that has not come, or only came along with the number, lifts nothing later either.
    insert into smsretry.consents (number_key, business_id, said, at, dated)
    select
        v_key,
        new.business_id,
        'seen',
        v_now,
        d.dated
    from (
        select old.sms_consent_at, false
        where old.sms_consent_status::text = 'opted_in' -- the clock may have been set back
        union
        select
            new.sms_consent_at,
            old.phone is not null
                and v_is_moved
                and not v_is_changed
                and not v_is_later
        where new.sms_consent_status::text = 'opted_in'
    ) d (dated, is_of_another_number)
    where (
        d.dated > v_now
        or d.dated is not null and d.is_of_another_number
    )
      and not smsretry.is_known_opt_in(v_key, d.dated);
    return null;
end
$$;
