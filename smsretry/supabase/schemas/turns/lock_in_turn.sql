-- Lock these rows one by one, in this order, until there are so many; what somebody else holds locked is passed over, and so is
-- what is due no more. A loop, and each row by its id alone: a join with what they must be may read a whole index for each
-- of them where little is known of the table, and `limit` beside `skip locked` may be asked once a row, and takes far more.
--   served: the business of the last one
create or replace function smsretry.lock_in_turn(
    kind text, candidates uuid[], most integer, at timestamptz, out ids uuid[], out served uuid
)
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_id uuid;
    v_business uuid;
    v_due boolean;
begin
    ids := '{}';
    foreach v_id in array candidates loop
        exit when cardinality(ids) >= most;
        if kind = 'deliveries' then
            select a.delivery_look_at <= lock_in_turn.at, a.business_id into v_due, v_business
            from public.sms_send_attempts a where a.id = v_id for update skip locked;
        else
            select q.status = 'pending' and q.scheduled_for <= lock_in_turn.at and q.recover_count < smsretry.suspect_after()
                       and (q.in_doubt_since is not null) = (kind = 'doubtful'), q.business_id
            into v_due, v_business
            from public.sms_retry_queue q where q.id = v_id for update skip locked;
        end if;
        if v_due then
            ids := ids || v_id;
            served := v_business;
        end if;
    end loop;
end
$$;
