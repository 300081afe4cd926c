-- A sender as a claim tells it to a worker; null: there is none.
create or replace function smsretry.told_sender(sender smsretry.senders)
returns jsonb language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    return case when sender.id is not null then jsonb_build_object(
        'id', sender.id, 'account', sender.account, 'sent_by', sender.sent_by, 'segments_per_second', sender.segments_per_second,
        'paused_because', sender.paused_because,
        'spent_until', case when sender.day_segments >= sender.segments_per_day and sender.day_ends_at > smsretry.clock()
                            then sender.day_ends_at end) end;
end
$$;
