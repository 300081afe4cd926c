-- Up to `most` businesses with a text due that this sender sends, by id round and round from behind `start`, and which of
-- their texts: any, or those of one class. sender_id null: the environment's. met: one of them, and its class, which spares most
-- looks if it is the only one. enable_sort: smsretry.next_in_turn.
create or replace function smsretry.businesses_of_sender(
    sender_id uuid, start uuid, most integer, at timestamptz, met uuid, met_class text, out businesses uuid[], out classes text[]
)
language plpgsql stable set search_path = pg_catalog, pg_temp set enable_sort = off set enable_incremental_sort = off set jit = off as $$
#variable_conflict use_variable
declare
    v_business uuid := start;
    v_wrapped boolean := false;
    v_of record;
    v_classes text[];
begin
    if sender_id is not null and not exists (
        select from smsretry.business_senders b where b.sender_id = sender_id and b.business_id <> met)
    then
        businesses := array[met];
        classes := array[met_class];
        return;
    end if;
    businesses := '{}';
    classes := '{}';
    for v_looks in 1 .. 5000 loop
        exit when cardinality(businesses) >= most;
        if sender_id is null then
            select q.business_id into v_business from public.sms_retry_queue q
            where q.status = 'pending' and q.in_doubt_since is null and q.recover_count < smsretry.suspect_after()
              and (q.business_id, q.message_class) > (v_business, 'transactional')
            order by q.business_id, q.message_class, q.scheduled_for limit 1;
        else
            select b.business_id into v_business from smsretry.business_senders b
            where b.sender_id = sender_id and b.business_id > v_business order by b.sender_id, b.business_id limit 1;
        end if;
        if v_business is null then -- there is none behind: on from the first one
            exit when v_wrapped;
            v_wrapped := true;
            v_business := '00000000-0000-0000-0000-000000000000'; -- which may be one
        end if;
        exit when v_wrapped and v_business > start;
        select * into v_of from smsretry.senders_of(v_business);
        v_classes := array_remove(array[
            case when v_of.marketing is not distinct from sender_id then 'marketing' end,
            case when v_of.transactional is not distinct from sender_id then 'transactional' end], null);
        if smsretry.has_due_text(v_business, v_classes, at) then
            businesses := businesses || v_business;
            classes := classes || case when cardinality(v_classes) = 2 then 'any' else v_classes[1] end;
        end if;
    end loop;
end
$$;
