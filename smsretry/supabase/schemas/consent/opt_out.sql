-- End consent for everyone who has this number: at one business, or without one at each that has a customer with it. Each
-- business answers for itself: somebody's transaction that holds its customers locked, or a rule of the application's that
-- refuses the change, keeps nobody else from opting out. All of them together are waited for a second. What could not be
-- written holds nevertheless (unwritten_consents); the same call again writes it. Where one business is named, what
-- refuses the change is told as the error it is.
-- texted: also at each business that has texted the number, though it has no customer with it any more: who was deleted
-- and says STOP to their last text may be imported again tomorrow.
-- left_only: only where this opt-out could not be written before, so that one that is said again changes nothing else.
--   customers: how many are marked now · cancelled: texts that waited · unmarked: customers who could not be marked
create or replace function smsretry.opt_out(
    phone text, source text, at timestamptz, business_id uuid default null, left_only boolean default false,
    texted boolean default false,
    out customers integer, out cancelled integer, out unmarked integer
)
language plpgsql set search_path = pg_catalog, pg_temp
set lock_timeout = '1s' as $$
#variable_conflict use_column
declare
    v_until constant timestamptz := clock_timestamp() + interval '1 second';
    v_business uuid;
    v_key bytea;
    v_customers integer;
    v_cancelled integer;
begin
    customers := 0;
    cancelled := 0;
    unmarked := 0;
    for v_business in
        select c.business_id from public.customers c
        where c.phone = opt_out.phone and (opt_out.business_id is null or c.business_id = opt_out.business_id)
        union
        select b.id from public.businesses b cross join smsretry.secret
        where opt_out.texted and exists (
            select 1 from public.sms_send_attempts a where a.number_key = smsretry.number_key(b.id, opt_out.phone))
        order by 1
    loop
        v_key := (select smsretry.number_key(v_business, opt_out.phone) from smsretry.secret);
        continue when opt_out.left_only and not exists (
            select 1 from smsretry.unwritten_consents u
            where u.number_key = v_key and u.consent = 'opted_out' and u.since = opt_out.at);
        perform set_config(
            'lock_timeout', greatest(ceil(extract(epoch from v_until - clock_timestamp()) * 1000), 20) || 'ms', true);
        begin
            select s.customers, s.cancelled into v_customers, v_cancelled
            from smsretry.set_consent(v_business, null, opt_out.phone, 'opted_out', opt_out.source, opt_out.at) s;
            customers := customers + v_customers;
            cancelled := cancelled + v_cancelled;
        exception when others then
            if v_key is null or (opt_out.business_id is not null and sqlstate not in ('55P03', '40P01')) then
                raise;
            end if;
            raise warning 'The customers of business % could not be marked as opted out yet: %', v_business, sqlstate;
            insert into smsretry.unwritten_consents (number_key, business_id, consent, since, source)
            select v_key, v_business, 'opted_out', opt_out.at, left(opt_out.source, 200)
            where not exists (
                select 1 from smsretry.unwritten_consents u
                where u.number_key = v_key and u.consent = 'opted_out' and u.since = opt_out.at);
            select unmarked + count(*) into unmarked from public.customers c
            where c.phone = opt_out.phone and c.business_id = v_business;
        end;
    end loop;
end
$$;

revoke all on function smsretry.opt_out from public, anon, authenticated;
grant execute on function smsretry.opt_out to service_role;
