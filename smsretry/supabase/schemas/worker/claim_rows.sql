-- Claim these rows, which the caller has locked: due ones with `skip locked`, or one by its id, due
-- or not, for whose lock it waits (claim_sms_retry). Only service_role may call those callers
-- (rights/backend.sql). If the rows cannot be taken together, each is tried by itself: one that is
-- refused stays as it is.
--   rows: by ctid; a row that this transaction has locked moves by its own writes alone
--   by_application: its claimer begins no sends
--   alone: what refuses is raised
--   taken: their ids; null: the one row took all the time of the call
--   refused: the database's words, if it refused each row
create or replace function smsretry.claim_rows(
    rows tid[],
    at timestamptz,
    by_application boolean default false,
    alone boolean default false,
    out taken uuid[],
    out refused text
)
language plpgsql set search_path = pg_catalog, pg_temp
-- A trigger may wait for a lock.
set lock_timeout = '500ms' set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
    v_restores constant bigint := (select count(*) from smsretry.restores);
    -- Above what a worker from before a restore holds: more than a text was ever claimed.
    v_least_claim_no constant bigint := 1000000 * v_restores;
    v_ids uuid[];
    v_detail text;
begin
    taken := '{}';
    -- at first all together, and then each
    for v_try in 0 .. coalesce(cardinality(claim_rows.rows), 0) loop
        begin
            with claimed as (
                update public.sms_retry_queue q
                set
                    status = 'processing',
                    claim_no = greatest(q.claim_no, v_least_claim_no) + 1,
                    claimed_at = claim_rows.at,
                    begun_at = null,
                    claimed_by_application = claim_rows.by_application
                        or q.claimed_by_application and q.in_doubt_since is not null,
                    attempt_id = case
                        when q.in_doubt_since is not null then q.attempt_id
                    end,
                    updated_at = claim_rows.at
                where q.ctid = any (
                    case v_try
                        when 0 then claim_rows.rows
                        else claim_rows.rows[v_try : v_try]
                    end
                )
                  and q.status = 'pending' -- a later trigger may leave another word in work
                returning q.id
            )
            select array_agg(t.id)
            into v_ids
            from claimed t;
            if v_restores > 0 and not by_application then
                perform smsretry.doubt_forgotten(v_ids, claim_rows.at);
            end if;
            set constraints all immediate; -- a deferred check would undo the others, too
            taken := taken || v_ids;
            refused := null;
            exit when v_try = 0;
        exception
            when query_canceled then
                if alone or cardinality(claim_rows.rows) > 1 then
                    raise; -- no time is left: its caller claims one at a time
                end if;
                taken := null;
                return;
            when others then
                if alone then
                    raise;
                end if;
                get stacked diagnostics v_detail = pg_exception_detail;
                refused := case
                    -- a lock: the next claim tries again
                    when sqlstate in ('55P03', '40P01') then null
                    -- its detail would quote the row
                    when sqlstate like '23%' or v_detail = '' then sqlerrm
                    else sqlerrm || ': ' || v_detail
                end;
                raise warning 'A row could not be claimed: %', sqlstate;
        end;
    end loop;
    refused := case
        when taken = '{}' then left(smsretry.numberless(refused), 300)
    end;
end
$$;
