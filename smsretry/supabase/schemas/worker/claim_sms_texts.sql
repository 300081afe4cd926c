-- For a worker: claim up to limit_count due rows, as claim_due_sms_retries. sender, account, segments_per_second: of the
-- worker's environment, which sends for every business without a sender of its own.
--   without: senders whose texts are not to be claimed now
create or replace function public.claim_sms_texts(
    limit_count integer, sender text default null, account text default null,
    segments_per_second double precision default null, without text[] default '{}'
)
returns setof smsretry.claimed_retry
language plpgsql security invoker set search_path = pg_catalog, pg_temp
set statement_timeout = '8s' as $$ -- as claim_due_sms_retries
#variable_conflict use_variable
begin
    if sender is not null and account is not null then
        insert into smsretry.default_senders as d (sent_by, account, segments_per_second, seen_at)
        values (sender, account, segments_per_second, smsretry.clock())
        on conflict (sent_by) do update
        set account = excluded.account, segments_per_second = excluded.segments_per_second, seen_at = excluded.seen_at
        where (d.account, d.segments_per_second) is distinct from (excluded.account, excluded.segments_per_second);
    end if;
    return query select * from public.claim_due_sms_retries(limit_count, true);
end
$$;
