-- Why a text may not go to its customer at any hour (why_code: for programs); null: it may. The one
-- rule, for begin and for predictions.
--   sent: smsretry.is_sent · consent: the customer's · held: a person can mend it, and the text
--   waits; otherwise it ends. plpgsql keeps its plan.
create or replace function smsretry.refusal(
    sent boolean,
    consent text,
    business_id uuid,
    phone text,
    message_class text,
    expired boolean default false,
    out why text,
    out why_code text,
    out held boolean
)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_stop smsretry.stops;
begin
    held := false;
    why := case
        when refusal.sent then 'Already sent'
        when refusal.consent = 'opted_out' then 'Customer opted out'
        when refusal.consent is distinct from 'opted_in'
            then 'Customer opted out (consent is '
                || coalesce(left(refusal.consent, 40), 'missing') || ')'
        when exists (
            select from smsretry.standing_opt_outs o
            where o.number_key = smsretry.number_key(
                refusal.business_id,
                refusal.phone
            )
        )
            then 'Customer opted out (the number did, at this business; a later opt-in lifts it)'
    end;
    if why is not null then
        why_code := case when refusal.sent then 'already_sent' else 'opted_out' end;
        return;
    elsif refusal.expired then
        why := 'Expired before it could be sent';
        why_code := 'expired';
        return;
    end if;
    select *
    into v_stop
    from smsretry.stops s
    where s.kind = 'business_stopped' and s.subject = refusal.business_id::text;
    held := true;
    if found then
        why := 'The business is stopped by ' || v_stop.who || ': ' || v_stop.why;
        why_code := v_stop.kind;
    elsif refusal.message_class is distinct from 'transactional'
        and exists (
            select from smsretry.unread_words w
            where w.phone = refusal.phone
              and w.business_id = refusal.business_id
        ) then
        why := 'The customer wrote what may mean stop, and nobody has read it';
        why_code := 'words_unread';
    end if;
end
$$;
