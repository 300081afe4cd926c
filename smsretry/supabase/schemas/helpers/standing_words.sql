-- The words against texts that hold: what was kept later of the same number or customer does not
-- answer them (smsretry.answers), and no opt-out answers unread ones. Later is by id, because clocks
-- are set back.
create or replace view smsretry.standing_words with (security_invoker = true) as
select o.*
from smsretry.consents o
where o.said in ('opted_out', 'unsure')
  and not exists (
      select from smsretry.consents i
      where i.subject_key = o.subject_key
        and i.said in ('opted_in', 'unchanged')
        and i.id + 0 > o.id -- by the number's index alone
        and smsretry.answers(i, o)
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
