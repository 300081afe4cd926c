-- Why a scheduled send that is queued cannot be changed in this way any more, and in a second line what to do; null: it can.
-- live: its text's live row, if there is one.
create or replace function smsretry.too_late(
    was public.scheduled_sends, wanted public.scheduled_sends, live public.sms_retry_queue
)
returns text language sql stable set search_path = pg_catalog, pg_temp as $$
    select case
        when wanted.status not in ('queued', 'cancelled')
            or (wanted.body, wanted.business_id, wanted.customer_id, wanted.message_class, wanted.send_log_id)
                is distinct from (was.body, was.business_id, was.customer_id, was.message_class, was.send_log_id)
        then format(E'Scheduled send %s is queued: it can be moved or cancelled, and nothing else\n', was.id)
            || 'Cancel it and schedule another.'
        when live.id is null or live.status <> 'pending' or live.in_doubt_since is not null
        then format(E'It is too late to change scheduled send %s: its text %s\n', was.id, case
                when live.id is null then 'has ended'
                when live.in_doubt_since is not null then 'may have gone out, and evidence is looked for'
                else 'is with a worker at this moment' end)
            || 'explain_sms tells what became of it, by its send log.'
    end
$$;
