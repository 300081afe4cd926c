-- Say why texts may not go to their customers at any hour, a row each, in their order. This is the
-- one rule, for begin and for predictions.
--   at: when they may have expired; null: never
--   refused, refused_code: why, for people and for programs; null: the text may go
--   refused_held: a person can mend it, and the text waits; otherwise it ends
create or replace function smsretry.refusals(
    texts smsretry.claimed_retry[],
    at timestamptz default null
)
returns table (refused text, refused_code text, refused_held boolean)
language plpgsql stable set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan as $$
begin
    return query
    select
        r.refusal[2],
        r.refusal[1],
        (r.refusal[1] in ('already_sent', 'opted_out', 'expired')) is not true
    from (
        select
            t.ordinality as place,
            case
                when t.log_says_sent
                    then array['already_sent', 'Already sent']
                when t.sms_consent_status = 'opted_out'
                    then array['opted_out', 'Customer opted out']
                when t.sms_consent_status is distinct from 'opted_in'
                    then array[
                        'opted_out',
                        'Customer opted out (consent is '
                            || coalesce(t.sms_consent_status, 'missing') || ')'
                    ]
                when exists (
                    select from smsretry.standing_opt_outs o
                    where o.number_key = smsretry.number_key(
                        t.business_id,
                        t.phone,
                        (select s.key from smsretry.secret s)
                    )
                    offset 0
                )
                    then array[
                        'opted_out',
                        'Customer opted out (the number did, at this business; a later opt-in lifts it)'
                    ]
                when t.expires_at <= refusals.at
                    then array['expired', 'Expired before it could be sent']
                else coalesce(
                    (
                        select array[
                            s.kind,
                            'The business is stopped by ' || s.who || ': ' || s.why
                        ]
                        from smsretry.stops s
                        where s.kind = 'business_stopped'
                          and s.subject = t.business_id::text
                    ),
                    (
                        select array[
                            'words_unread',
                            'The customer wrote what may mean stop, and nobody has read it'
                        ]
                        from smsretry.unread_words w
                        where w.phone = t.phone
                          and w.business_id = t.business_id
                          and t.message_class is distinct from 'transactional'
                        limit 1
                    )
                )
            end as refusal
        from unnest(refusals.texts) with ordinality t
        offset 0
    ) r
    order by r.place;
end
$$;
