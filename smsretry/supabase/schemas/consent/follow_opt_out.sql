-- Let the customers who have a number at these businesses, and one by id, follow the opt-out that stands there, as best they can,
-- and cancel their waiting texts. What somebody holds locked, or a rule of the application's refuses, is left as it is, and no text
-- goes out to it all the same: so is a text in doubt or under way. Business by business, so that none costs another the opt-out.
-- A repeated opt-out keeps the first record, unless only the first could be lifted by a START.
--   customers: who have opted out now · cancelled: texts that waited · unmarked: who could not be marked
create or replace function smsretry.follow_opt_out(
    businesses uuid[], phone text, customer_id uuid default null, out customers integer, out cancelled integer, out unmarked integer
)
language plpgsql set search_path = pg_catalog, pg_temp set lock_timeout = '200ms' as $$
declare
    v_said record;
    v_row public.sms_retry_queue;
    v_theirs uuid[];
    v_ended integer;
begin
    customers := 0;
    cancelled := 0;
    unmarked := 0;
    for v_said in
        select distinct on (k.business_id) k.business_id, o.dated, o.source
        from (select b.id as business_id, smsretry.number_key(b.id, follow_opt_out.phone) as number_key
              from unnest(follow_opt_out.businesses) b (id) offset 0) k
        join smsretry.standing_opt_outs o on o.number_key = k.number_key
        order by k.business_id, smsretry.start_takes_back(o.source), o.id
    loop
        v_theirs := array(
            select c.id from public.customers c
            where (c.phone = follow_opt_out.phone or c.id = follow_opt_out.customer_id)
              -- is true: not also by the index of business_id, where a business may have very many
              and (c.business_id = v_said.business_id) is true);
        begin
            -- In this order two opt-outs of the same people do not deadlock.
            perform from public.customers c where c.id = any (v_theirs) order by c.id for no key update;
            update public.customers c
            set sms_consent_status = 'opted_out', sms_consent_at = v_said.dated, sms_consent_source = v_said.source
            where c.id = any (v_theirs) and (c.phone = follow_opt_out.phone or c.id = follow_opt_out.customer_id)
              and (c.sms_consent_status::text is distinct from 'opted_out'
                   or smsretry.start_takes_back(c.sms_consent_source::text) and not smsretry.start_takes_back(v_said.source));
            customers := customers + cardinality(v_theirs);
        exception when others then
            raise warning 'Customers of business % could not be marked as opted out yet: %', v_said.business_id, sqlstate;
            unmarked := unmarked + cardinality(v_theirs);
        end;
        begin
            v_ended := 0;
            for v_row in
                select q.* from public.sms_retry_queue q
                where q.customer_id = any (v_theirs)
                  -- is true: by the customers alone; with old statistics an index of all that waits is walked
                  and (q.status = 'pending' and q.in_doubt_since is null) is true
                order by q.id for update skip locked
            loop
                perform smsretry.save_row(
                    v_row, smsretry.clock(), ended => 'cancelled', because => 'Customer opted out', why_code => 'opted_out');
                v_ended := v_ended + 1;
            end loop;
            cancelled := cancelled + v_ended;
        exception when others then
            raise warning 'Waiting texts of who opted out could not be cancelled yet: %', sqlstate;
        end;
    end loop;
end
$$;
