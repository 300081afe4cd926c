-- The opt-outs that hold: the one rule of consent. An opt-in that was kept later lifts an opt-out
-- if its date is later, or if it has none because it was said to us. A START lifts what a START
-- may, at a sender that received both. The order is that of ids, because clocks are set back.
create or replace view smsretry.standing_opt_outs with (security_invoker = true) as
select
    o.id,
    o.number_key,
    o.business_id,
    o.source,
    o.at,
    o.dated,
    o.senders
from smsretry.consents o
where o.said = 'opted_out'
  and not exists (
      select from smsretry.consents i
      where i.number_key = o.number_key
        and i.said = 'opted_in'
        and i.id + 0 > o.id -- by the number's index alone
        and (i.dated is null or least(i.dated, i.at) > o.dated)
        and case
            when i.source in ('inbound_start', 'inbound_yes')
                then smsretry.start_takes_back(o.source, i.source = 'inbound_yes')
                    and (
                        o.senders is null
                        or i.senders is null
                        or o.senders && i.senders
                    )
            else true
        end
      offset 0
  ); -- each opt-out looks behind itself alone, where a join would compare all with all
