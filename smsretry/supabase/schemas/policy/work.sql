-- Name the kind of work that a row is. The comment on sms_retry_queue.work says what each means.
create or replace function smsretry.work(
    status text,
    recover_count integer,
    in_doubt_since timestamptz
)
returns text
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    return case
        when work.status = 'processing' then 'under_way'
        when work.status <> 'pending' then null
        when work.recover_count >= 2 then 'suspect' -- recover_stuck_sms_retries
        when work.in_doubt_since is not null then 'doubtful'
        else 'texts'
    end;
end
$$;
