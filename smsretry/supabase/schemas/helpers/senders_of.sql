-- Who sends a business's texts of each class: smsretry.sender_of by id, both at once. Null: the environment's sender.
create or replace function smsretry.senders_of(business_id uuid, out marketing uuid, out transactional uuid)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_any uuid;
    v_row record;
begin
    for v_row in select b.message_class, b.sender_id from smsretry.business_senders b where b.business_id = senders_of.business_id loop
        case v_row.message_class
            when 'marketing' then marketing := v_row.sender_id;
            when 'transactional' then transactional := v_row.sender_id;
            else v_any := v_row.sender_id;
        end case;
    end loop;
    marketing := coalesce(marketing, v_any);
    transactional := coalesce(transactional, v_any);
end
$$;
