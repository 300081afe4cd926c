-- Write a claim as JSON for a worker: the texts, and once whatever concerns them all.
--   texts: rows of smsretry.claimed_retry
--   default_sender: the sender of texts that name none (account and sender name it)
--   stops: those of smsretry.stops that concern the texts; each is tried with one text
--   stopped_states: where no marketing text may go
--   longest_body: how much of a body is returned; a longer one was cut
--   next_in: seconds until something else is due that can be claimed; null: nothing is
create or replace function smsretry.claim_of(
    ids uuid[],
    account text,
    sender text,
    at timestamptz,
    next_at timestamptz default null
)
returns jsonb
language plpgsql stable set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
-- Rows by their ids, whatever the statistics are.
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
set jit = off as $$
declare
    v_texts jsonb := '[]';
    v_default_sender jsonb;
    v_stops jsonb := '[]';
begin
    if cardinality(claim_of.ids) > 0 then
        v_default_sender := (
            select s.sender
            from smsretry.claim_senders s
            where s.account = claim_of.account
              and s.sent_by = claim_of.sender
        );
        v_texts := (
            select coalesce(
                jsonb_agg(to_jsonb(r) order by r.scheduled_for, r.id),
                '[]'
            )
            from smsretry.claimed_retry r
            where r.id = any (claim_of.ids)
        );
        v_stops := (
            select coalesce(jsonb_agg(jsonb_build_array(s.kind, s.subject)), '[]')
            from smsretry.stops s
            where s.kind = 'everybody'
              or s.subject in (
                  select t.value ->> 'business_id'
                  from jsonb_array_elements(v_texts) t
                  union all
                  select coalesce(
                      nullif(t.value -> 'sender', 'null'),
                      v_default_sender
                  ) ->> 'id'
                  from jsonb_array_elements(v_texts) t
              )
        );
    end if;
    return jsonb_build_object(
        'texts', v_texts,
        'default_sender', v_default_sender,
        'longest_body', smsretry.longest_body(),
        'stops', v_stops,
        'stopped_states', (
            select coalesce(to_jsonb(s.states), '[]')
            from smsretry.stopped_states s
        ),
        'next_in', case
            when claim_of.next_at is not null
                then extract(
                    epoch from greatest(claim_of.next_at - claim_of.at, interval '0')
                )
        end
    );
end
$$;
