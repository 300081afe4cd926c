-- For a worker: claim up to limit_count due rows (smsretry.rows_of_claim), business by business in turns (smsretry.in_turn),
-- and of each sender about what it sends in a second. Returns rows of smsretry.claimed_retry in JSON. A sender whose time is given away is passed over. Within a business,
-- transactional texts come first, then those whose window closes within the hour. Neither doubtful nor suspect rows.
-- sender, account, segments_per_second: of the worker's environment, which sends for every business without a sender of its
-- own. Null: it is not known, or as fast as the provider takes them.
--   without: senders whose texts are not to be claimed now
--   others_wait: a business has a text due and none in this claim · sender_others_wait: one with the same sender has
create or replace function public.claim_sms_texts(
    limit_count integer, sender text default null, account text default null,
    segments_per_second double precision default null, without text[] default '{}'
)
returns setof jsonb
language plpgsql security invoker set search_path = pg_catalog, pg_temp
set statement_timeout = '8s' as $$ -- as claim_due_sms_retries
#variable_conflict use_variable
begin
    perform smsretry.note_default_sender(sender, account, segments_per_second);
    return query
    select t from smsretry.claim_texts(limit_count, sender, segments_per_second, coalesce(without, '{}')) t;
end
$$;
