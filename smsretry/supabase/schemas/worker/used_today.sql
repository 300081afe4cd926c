-- How many segments of a sender's texts may have gone out since a moment. Counted only while it has a cap a day.
create or replace function smsretry.used_today(sent_by text, since timestamptz)
returns bigint language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    return (
        select coalesce(sum(a.segments), 0) from public.sms_send_attempts a
        where a.segments is not null and a.sent_by = used_today.sent_by and a.begun_at >= used_today.since
          and coalesce(a.outcome, 'in_doubt') in ('accepted', 'in_doubt'));
end
$$;
