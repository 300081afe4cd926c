-- Claim up to limit_count due texts for a worker (smsretry.rows_of_claim), and as many in doubt
-- whose next look has come. Whoever was served longest ago goes first (smsretry.texts_in_turn).
-- Claims and begins cannot lock each other out. A claim waits for no row (skip locked), and takes
-- only pending ones: a begin holds its own row, which is processing. Begins wait for each other, for
-- a number, a customer or a sender, and those of a group in the order of lock_order
-- (group_sms_calls): two groups never wait crosswise.
-- Returns what smsretry.claim_of says, and refused and slow.
--   account, sender: the default sender, for every business without its own
--   room: the most due texts that are claimed, by the id of a sender; 0 also by that of a business
--   suspect: claim one suspect row instead, or none; the one whose claims died least often goes
--     first
--   slow: the parameter: businesses of which neither due texts nor texts in doubt are claimed. The
--     answer: with limit_count 1, the business of the row that took all the time of the call,
--     perhaps by a trigger
--   refused: what the database said, if it refused each row
create or replace function public.claim_sms_texts(
    limit_count integer,
    account text default null,
    sender text default null,
    room jsonb default '{}',
    suspect boolean default false,
    slow uuid[] default '{}'
)
returns jsonb
language plpgsql set search_path = pg_catalog, pg_temp
set statement_timeout = '8s' as $$ -- as claim_due_sms_retries
#variable_conflict use_variable
declare
    v_now constant timestamptz := smsretry.clock();
    v_limit constant integer := smsretry.rows_of_claim(limit_count);
    v_doubtful record;
    v_texts record;
    v_rows tid[];
    v_taken uuid[] := '{}';
    v_refused text;
    v_next timestamptz;
begin
    if suspect then
        for v_rows in
            select array[q.ctid]
            from public.sms_retry_queue q
            where q.work = 'suspect'
              and q.scheduled_for <= v_now
              and q.business_id <> all (slow)
            order by q.recover_count, q.scheduled_for
            limit 50
            for update skip locked
        loop
            select t.taken, t.refused
            into v_taken, v_refused
            from smsretry.claim_rows(v_rows, v_now) t;
            exit when v_taken is distinct from '{}';
        end loop;
    else
        select *
        into v_doubtful
        from smsretry.doubtful_in_turn(v_limit, v_now, slow);
        select *
        into v_texts
        from smsretry.texts_in_turn(
            -- Alone, so that a row which takes all the time is known.
            case
                when limit_count = 1 and v_doubtful.rows <> '{}' then 0
                else v_limit
            end,
            v_now,
            (
                select s.id
                from smsretry.senders s
                where s.account = claim_sms_texts.account
                  and s.sent_by = sender
            ),
            room || (
                select coalesce(jsonb_object_agg(b.id, 0), '{}')
                from unnest(slow) b (id)
            )
        );
        v_rows := v_doubtful.rows || v_texts.rows;
        v_next := least(v_texts.next_at, v_doubtful.next_at);
        if v_rows <> '{}' then
            select t.taken, t.refused
            into v_taken, v_refused
            from smsretry.claim_rows(v_rows, v_now) t;
            -- Whose texts could not be taken has had its turn, so that they are not tried again and
            -- again. They have kept their ctids.
            if cardinality(v_taken) < cardinality(v_rows) then
                v_texts.served := v_texts.served
                    || array(
                        select q.business_id
                        from public.sms_retry_queue q
                        where q.ctid = any (v_texts.rows)
                    );
            end if;
            perform smsretry.note_served('doubtful', v_doubtful.served, v_now);
        end if;
        perform smsretry.note_served(
            'texts',
            v_texts.served,
            v_now,
            v_texts.behind
        );
    end if;
    return smsretry.claim_of(v_taken, account, sender, v_now, v_next)
        || jsonb_build_object(
            'refused', v_refused,
            'slow', case
                when v_taken is null -- the row took all the time
                    then (
                        select q.business_id
                        from public.sms_retry_queue q
                        where q.ctid = any (v_rows)
                    )
            end
        );
end
$$;
