-- The next step of smsretry.turns_of_senders: the oldest text of the business and class that follow, and whether it is due.
-- From look 5,001 on: of the known ones, which are due. The callers have
-- set enable_sort: smsretry.next_in_turn.
create or replace function smsretry.next_text(
    business uuid, class text, at timestamptz, known_businesses uuid[], known_classes text[], look integer,
    out business_id uuid, out message_class text, out due boolean
)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    if next_text.look > 5000 then
        business_id := next_text.known_businesses[next_text.look - 5000];
        message_class := next_text.known_classes[next_text.look - 5000];
        due := true;
        return;
    end if;
    select q.business_id, q.message_class, q.scheduled_for <= next_text.at into business_id, message_class, due
    from public.sms_retry_queue q
    where q.status = 'pending' and q.in_doubt_since is null and q.recover_count < smsretry.suspect_after()
      and (q.business_id, q.message_class) > (next_text.business, next_text.class)
    order by q.business_id, q.message_class, q.scheduled_for limit 1;
end
$$;
