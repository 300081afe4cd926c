-- Lock up to limit_count due rows of this kind, business by business in turns, from where the last claim ended. Rows that
-- are locked, or no longer due, are passed over. Kinds and settled: smsretry.in_turn.
--   ids: in turns · businesses: whose turn it was · complete: whether nobody else has any due
create or replace function smsretry.claim_in_turn(
    kind text, limit_count integer, at timestamptz, settled timestamptz default null,
    out ids uuid[], out businesses uuid[], out complete boolean
)
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_turn record;
    v_id uuid;
    v_business uuid;
    v_due boolean;
    v_served uuid;
begin
    select * into v_turn from smsretry.in_turn(kind, at, limit_count, settled);
    ids := '{}';
    businesses := v_turn.businesses;
    complete := v_turn.passed is null;
    if cardinality(businesses) = 0 then
        return;
    end if;
    -- A loop, and each row by its id alone: without statistics a join may read a whole index for each, and `limit` beside
    -- `skip locked` may take far more rows.
    foreach v_id in array smsretry.work_in_turn(kind, businesses, v_turn.each, limit_count, at, settled) loop
        exit when cardinality(ids) >= limit_count;
        if kind = 'deliveries' then
            select a.delivery_look_at <= claim_in_turn.at, a.business_id into v_due, v_business
            from public.sms_send_attempts a where a.id = v_id for update skip locked;
        else
            select q.status = 'pending' and q.scheduled_for <= claim_in_turn.at and q.recover_count < smsretry.suspect_after()
                       and (q.in_doubt_since is not null) = (kind = 'doubtful'), q.business_id
            into v_due, v_business
            from public.sms_retry_queue q where q.id = v_id for update skip locked;
        end if;
        if v_due then
            ids := ids || v_id;
            v_served := v_business;
        end if;
    end loop;
    perform smsretry.end_turn(
        kind, v_turn.place, businesses, v_turn.passed, v_served, cardinality(ids) = limit_count);
end
$$;
