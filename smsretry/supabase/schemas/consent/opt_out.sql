-- End consent for everyone who has this number, at one business or at all that have a customer with it. Businesses fail
-- separately: a lock or a rule at one keeps nobody else from opting out. All together wait for locks for one second. What
-- could not be written holds nevertheless (unwritten_consents), and the same call again writes it. If one business is named,
-- its rule's error is raised.
-- texted, senders (those that heard it): as in smsretry.businesses_of. left_only: only where this opt-out could not be
-- written before, whoever sends there now.
--   customers: marked now · cancelled: texts that waited · unmarked: customers who could not be marked
create or replace function smsretry.opt_out(
    phone text, source text, at timestamptz, business_id uuid default null, left_only boolean default false,
    texted boolean default false, senders text[] default null, out customers integer, out cancelled integer, out unmarked integer
)
language plpgsql set search_path = pg_catalog, pg_temp set lock_timeout = '1s' as $$
declare
    v_until constant timestamptz := clock_timestamp() + interval '1 second';
    v_business uuid;
    v_key bytea;
    v_ended record;
begin
    customers := 0;
    cancelled := 0;
    unmarked := 0;
    for v_business in
        select b.id from smsretry.businesses_of(
            opt_out.phone, opt_out.texted, case when not opt_out.left_only then opt_out.senders end) b (id)
        where opt_out.business_id is null or b.id = opt_out.business_id
        order by b.id
    loop
        v_key := (select smsretry.number_key(v_business, opt_out.phone) from smsretry.secret);
        continue when opt_out.left_only and not exists (
            select 1 from smsretry.unwritten_consents u
            where u.number_key = v_key and u.consent = 'opted_out' and u.since = opt_out.at);
        perform smsretry.keep_stop(v_key, opt_out.senders, opt_out.at);
        perform set_config(
            'lock_timeout', greatest(ceil(extract(epoch from v_until - clock_timestamp()) * 1000), 20) || 'ms', true);
        begin
            select * into v_ended
            from smsretry.set_consent(v_business, null, opt_out.phone, 'opted_out', opt_out.source, opt_out.at);
            customers := customers + v_ended.customers;
            cancelled := cancelled + v_ended.cancelled;
        exception when others then
            if v_key is null or (opt_out.business_id is not null and sqlstate not in ('55P03', '40P01')) then
                raise;
            end if;
            raise warning 'The customers of business % could not be marked as opted out yet: %', v_business, sqlstate;
            perform smsretry.keep_unwritten(v_key, v_business, 'opted_out', opt_out.at, opt_out.source);
            select unmarked + count(*) into unmarked from public.customers c
            where c.phone = opt_out.phone and (c.business_id = v_business) is true; -- smsretry.judge_opt_outs
        end;
    end loop;
end
$$;
