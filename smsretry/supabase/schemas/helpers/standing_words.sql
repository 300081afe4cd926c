-- The words against texts that hold: the one rule of consent. An opt-in that was kept later lifts an
-- opt-out if its date is later, or if it has none because it was said to us; it answers unread words
-- if it was said to us, as an opt-out does, or a person who has read them. A START lifts what a START
-- may, at a sender that received both. The order is that of ids, because clocks are set back.
create or replace view smsretry.standing_words with (security_invoker = true) as
select o.*
from smsretry.consents o
where o.said in ('opted_out', 'unsure')
  and not exists (
      select from smsretry.consents i
      where i.subject_key = o.subject_key
        and i.said in ('opted_in', 'unchanged')
        and i.id + 0 > o.id -- by the number's index alone
        and (
            i.dated is null
            or o.said = 'opted_out' and least(i.dated, i.at) > o.dated
        )
        and case
            when i.source in ('inbound_start', 'inbound_yes')
                then smsretry.start_takes_back(o.source, i.source = 'inbound_yes')
                    and (
                        o.senders is null
                        or i.senders is null
                        or o.senders && i.senders
                    )
            else i.said = 'opted_in' or o.said = 'unsure'
        end
      offset 0
  ) -- each looks behind itself alone, where a join would compare all with all
  and not (
      o.said = 'unsure'
      and exists (
          select from smsretry.consents s
          where s.subject_key = o.subject_key
            and s.said = 'opted_out'
            and s.id > o.id
            and s.dated >= o.dated
            and (
                o.business_id is not null
                or s.senders is null
                or o.senders <@ s.senders
            )
          offset 0
      )
  );
