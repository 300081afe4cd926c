-- Whether a business has a text of these classes due. One index probe each. The callers have
-- set enable_sort: smsretry.next_in_turn.
create or replace function smsretry.has_due_text(business_id uuid, classes text[], at timestamptz)
returns boolean language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_class text;
    v_due timestamptz;
begin
    foreach v_class in array has_due_text.classes loop
        select q.scheduled_for into v_due from public.sms_retry_queue q
        where q.status = 'pending' and q.in_doubt_since is null and q.recover_count < smsretry.suspect_after()
          and q.business_id = has_due_text.business_id and q.message_class = v_class
        order by q.business_id, q.message_class, q.scheduled_for limit 1;
        if v_due <= has_due_text.at then
            return true;
        end if;
    end loop;
    return false;
end
$$;
