-- A number opts out at these businesses. The word is kept first, and holds; then the customers follow, business by business, so that
-- a lock or a rule at one costs nobody else the opt-out. Parameters and answer: say_opted_out, follow_opt_out. anew false: it is kept
-- already, and only who could not be marked before follows.
create or replace function smsretry.opt_out(
    businesses uuid[], phone text, source text, at timestamptz, senders text[] default null, anew boolean default true,
    out customers integer, out cancelled integer, out unmarked integer
)
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    if opt_out.anew then
        perform smsretry.say_opted_out(opt_out.businesses, opt_out.phone, opt_out.source, opt_out.at, opt_out.senders);
    end if;
    select coalesce(sum(f.customers), 0), coalesce(sum(f.cancelled), 0), coalesce(sum(f.unmarked), 0)
    into customers, cancelled, unmarked
    from (select b.id from unnest(opt_out.businesses) b (id)
          where exists (select from public.customers c
                        where c.phone = opt_out.phone and (c.business_id = b.id) is true
                          and (opt_out.anew or c.sms_consent_status::text is distinct from 'opted_out'))
          order by b.id) o
    cross join lateral smsretry.follow_opt_out(o.id, opt_out.phone) f;
end
$$;
