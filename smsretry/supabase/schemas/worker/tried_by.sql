-- Find what a text was refused for that a person must mend, if it would leave from the same sender,
-- and the text that tries that for all: of those that are not sent, the last one that tried. Once a
-- try was accepted nobody waits for another.
--   refused_for: as in sms_send_attempts; null: there is nothing to try
--   refused_since: when the first of its sender's texts was refused for it, these two days
--   until: when another text tries again; null: this one may
create or replace function smsretry.tried_by(
    retry_id uuid,
    account text,
    sender text,
    at timestamptz,
    out refused_for text,
    out refused_since timestamptz,
    out until timestamptz
)
language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    v_last public.sms_send_attempts;
    v_trying public.sms_retry_queue;
begin
    select *
    into v_last
    from public.sms_send_attempts a
    where a.retry_id = tried_by.retry_id
    order by a.claim_no desc
    limit 1;
    if v_last.refused_for is null
        or (v_last.sent_account, v_last.sent_by) is distinct from (account, sender)
    then
        return;
    end if;
    refused_for := v_last.refused_for;
    if not pg_try_advisory_xact_lock(
        hashtextextended(concat_ws(' ', account, sender, refused_for), 0)
    ) then
        until := at + interval '1 minute'; -- another one begins at this moment
        return;
    end if;
    refused_since := (
        select a.begun_at
        from public.sms_send_attempts a
        where a.sent_account = account
          and a.sent_by = sender
          and a.refused_for = tried_by.refused_for
          and a.begun_at > at - interval '2 days'
        order by a.begun_at
        limit 1
    );
    select *
    into v_last
    from public.sms_send_attempts a
    where a.sent_account = account
      and a.sent_by = sender
      and a.refused_for = tried_by.refused_for
    order by a.begun_at desc
    limit 1;
    if v_last.outcome = 'accepted' then
        refused_for := null;
        return;
    end if;
    select *
    into v_trying
    from public.sms_retry_queue q
    where q.id = v_last.retry_id
      and q.id <> tried_by.retry_id
      and q.status in ('pending', 'processing');
    if v_trying.status = 'processing' or v_trying.scheduled_for > at then
        until := greatest(v_trying.scheduled_for, at + interval '1 minute');
    end if;
end
$$;
