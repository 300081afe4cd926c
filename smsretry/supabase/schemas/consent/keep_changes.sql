-- Keep what the application has written to customers' rows as words, for the number and not for the
-- row alone (smsretry.consents). A word must be new: a row that is saved unchanged or cut off to
-- seconds, an old date, and a date that only came along with a number say nothing. Whoever comes to a
-- number brings along what stands at the one before, and shares what stands here.
create or replace function smsretry.keep_changes(changes smsretry.customer_change[])
returns void
language plpgsql set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan as $$
declare
    v_now constant timestamptz := smsretry.clock();
    v_key constant bytea := (select s.key from smsretry.secret s);
    v_kept bigint[];
begin
    changes := array(
        select row(
            c.id, c.business_id, f.phone, c.consent, c.source, c.dated,
            c.is_new, c.was_business_id, f.was_phone, c.was_consent, c.was_source, c.was_dated,
            (c.was_business_id, f.was_phone) is distinct from (c.business_id, f.phone),
            f.is_changed or f.is_later,
            -- else its date is that of the consent which ends here
            case when not c.is_new and f.is_changed and not f.is_later then v_now else c.dated end
        )::smsretry.customer_change
        from unnest(changes) c
        cross join lateral (
            select
                substring(c.phone from '(?s)^.*\d.*$') as phone, -- '' and 'n/a' are no numbers
                substring(c.was_phone from '(?s)^.*\d.*$') as was_phone,
                c.was_consent is distinct from c.consent as is_changed,
                -- A date that has not come is corrected by any other.
                coalesce(
                    c.dated > case when c.was_dated <= v_now then c.was_dated else '-infinity' end,
                    false
                ) as is_later
        ) f
    );

    insert into smsretry.events (at, about, code, detail)
    select v_now, e.about, e.code, e.detail
    from (
        select
            c.id as about,
            'consent_changed' as code,
            jsonb_build_object(
                'was', c.was_consent,
                'became', c.consent,
                'source', left(smsretry.numberless(left(c.source, 1000)), 200)
            ) as detail
        from unnest(changes) c
        where not c.is_new and c.was_consent is distinct from c.consent
        union all
        select
            c.id,
            'number_changed',
            jsonb_build_object(
                'was', smsretry.masked(c.was_phone),
                'became', smsretry.masked(c.phone)
            )
        from unnest(changes) c
        where not c.is_new and c.was_phone is distinct from c.phone
    ) e;

    v_kept := smsretry.keep_words(
        array(
            -- an opt-out that came with another number is the old one's, too
            select row(
                c.was_business_id, c.was_phone, null, 'opted_out', c.source, c.said_at,
                null, null, null
            )::smsretry.word
            from unnest(changes) c
            where c.consent = 'opted_out'
              and c.was_consent is distinct from c.consent
              and c.was_phone is distinct from c.phone
              and not c.is_new
        )
            || array(
                -- A new row brings nothing along, and names nobody: it may be another one each night.
                select distinct on (c.id, (o.word).said, (o.word).source, (o.word).senders) row(
                    c.business_id,
                    c.phone,
                    case when not c.is_new or (o.word).said = 'unsure' then c.id end,
                    (o.word).said,
                    (o.word).source,
                    (o.word).dated,
                    (o.word).senders,
                    (o.word).twilio_sid,
                    (o.word).id
                )::smsretry.word
                from (
                    select u.*, a.*
                    from unnest(changes) u
                    cross join lateral (
                        select u.phone, u.id
                        union all
                        select u.was_phone, null
                        where u.was_business_id = u.business_id
                    ) a (at_phone, named)
                    where u.is_moved
                      and u.consent is distinct from 'opted_out' -- else the row says so itself
                      and exists ( -- few have said anything
                          select from smsretry.consents w
                          where w.subject_key = any (
                              array[
                                  smsretry.number_key(u.business_id, a.at_phone, v_key),
                                  smsretry.number_key(u.business_id, a.named::text, v_key),
                                  smsretry.number_key(null, a.at_phone, v_key)
                              ]
                          )
                            and w.said in ('opted_out', 'unsure')
                          offset 0
                      )
                    offset 0
                ) c
                cross join lateral smsretry.objections(
                    array[c.business_id],
                    array[c.at_phone],
                    array[c.named]
                ) o
                order by
                    c.id,
                    (o.word).said,
                    (o.word).source,
                    (o.word).senders,
                    (o.word).dated desc
            )
    );

    v_kept := smsretry.keep_words(
        array(
            select distinct on (c.business_id, coalesce(c.phone, c.id::text))
                row(
                    c.business_id,
                    c.phone,
                    -- who has no number, and whom a START may give back what this ends
                    case
                        when c.phone is null
                          or not c.is_new
                            and smsretry.start_takes_back(c.source)
                            then c.id
                    end,
                    'opted_out',
                    c.source,
                    max(c.said_at) over (partition by c.business_id, coalesce(c.phone, c.id::text)),
                    null,
                    null,
                    null
                )::smsretry.word
            from unnest(changes) c
            where c.consent = 'opted_out'
              and (
                  c.is_said
                  or c.is_moved
                  -- Another source alone opts nobody out again who has opted in since.
                  or c.was_source is distinct from c.source
                      and exists (
                          select from smsretry.standing_words o
                          where o.subject_key = smsretry.number_key(c.business_id, c.phone, v_key)
                            and o.said = 'opted_out'
                          offset 0
                      )
              )
            order by
                c.business_id,
                coalesce(c.phone, c.id::text),
                smsretry.start_takes_back(c.source)
        )
    );
    if v_kept <> '{}' then
        update smsretry.consents w
        set was = left(c.was_consent, 40)
        from unnest(changes) c
        where w.id = any (v_kept)
          and w.customer_id = c.id
          and smsretry.start_takes_back(w.source); -- which gives it back
    end if;

    -- An opt-in lifts the opt-outs before its date, once that has come; an application's clock may
    -- be five minutes fast.
    perform smsretry.keep_words(
        array(
            select row(
                c.business_id, c.phone, c.id, 'opted_in', c.source, c.dated,
                null, null, null
            )::smsretry.word
            from unnest(changes) c
            where c.consent = 'opted_in'
              and c.is_said
              and c.dated <= v_now + interval '5 minutes'
              and exists (
                  select from smsretry.standing_words o
                  where o.subject_key = any (
                      array[
                          smsretry.number_key(c.business_id, c.phone, v_key),
                          smsretry.number_key(c.business_id, c.id::text, v_key)
                      ]
                  )
                    and o.said = 'opted_out'
                    and o.dated < least(c.dated, v_now)
                  offset 0
              )
              and not smsretry.is_known_opt_in(
                  smsretry.number_key(c.business_id, coalesce(c.phone, c.id::text), v_key),
                  c.dated
              )
        ),
        everyone => true
    );

    -- A date that has not come, or came along with the number, lifts nothing later either.
    insert into smsretry.consents (subject_key, business_id, said, at, dated)
    select distinct d.subject_key, d.business_id, 'seen', v_now, d.dated
    from (
        select
            smsretry.number_key(c.business_id, coalesce(c.phone, c.id::text), v_key) as subject_key,
            c.business_id,
            e.dated
        from unnest(changes) c
        cross join lateral (
            values
                (c.was_consent, c.was_dated, v_now), -- the clock may have been set back
                (
                    c.consent,
                    c.dated,
                    case
                        when c.is_said or c.was_phone is null or not c.is_moved then v_now
                        else '-infinity'
                    end
                )
        ) e (consent, dated, seen_after)
        where e.consent = 'opted_in' and e.dated > e.seen_after
        offset 0
    ) d
    where not smsretry.is_known_opt_in(d.subject_key, d.dated);

    perform smsretry.release_texts(
        '{consent_unclear}',
        array(
            select c.id
            from unnest(changes) c
            where c.was_consent not in ('opted_in', 'opted_out', 'unknown')
              and c.consent <> c.was_consent
        )
    );
end
$$;
