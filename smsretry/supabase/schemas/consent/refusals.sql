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
        (r.refusal[1] in ('already_sent', 'opted_out', 'not_consented', 'expired')) is not true
    from (
        select
            t.ordinality as place,
            case
                when t.log_says_sent
                    then array['already_sent', 'Already sent']
                when t.sms_consent_status = 'opted_out'
                    then array['opted_out', 'Customer opted out']
                when o.said = 'opted_out'
                    then array[
                        'opted_out',
                        'Customer opted out (it is on record, whatever the customer''s row says; a later opt-in lifts it)'
                    ]
                when coalesce(t.sms_consent_status, 'unknown') = 'unknown'
                    then array['not_consented', 'The customer has not consented to texts']
                when t.expires_at <= refusals.at
                    then array['expired', 'Expired before it could be sent']
                when t.sms_consent_status <> 'opted_in'
                    then array[
                        'consent_unclear',
                        'The customer''s sms_consent_status is none of opted_in, opted_out and unknown'
                    ]
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
                    case
                        when o.said = 'unsure'
                          and t.message_class is distinct from 'transactional'
                            then array[
                                'words_unread',
                                'The customer wrote what may mean stop, and nobody has read it'
                            ]
                    end
                )
            end as refusal
        from unnest(refusals.texts) with ordinality t
        left join (
            select f.place, min((f.word).said) as said -- opted_out outranks unsure
            from smsretry.objections(
                array(select u.business_id from unnest(refusals.texts) u),
                array(select u.phone from unnest(refusals.texts) u),
                array(select u.customer_id from unnest(refusals.texts) u)
            ) f
            group by f.place
        ) o
            on o.place = t.ordinality
        offset 0
    ) r
    order by r.place;
end
$$;
