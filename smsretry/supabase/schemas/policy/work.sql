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
        when status = 'processing' then 'under_way'
        when status <> 'pending' then null
        when recover_count >= 2 then 'suspect' -- recover_stuck_sms_retries
        when in_doubt_since is not null then 'doubtful'
        else 'texts'
    end;
end
$$;
