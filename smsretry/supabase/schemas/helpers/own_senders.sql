-- Which sender of its own a business has for each class of texts: the one of the class outranks the
-- one for any. Ask for one business and class, in a subquery that ends in `offset 0`.
create or replace view smsretry.own_senders with (security_invoker = true) as
select distinct on (b.business_id, c.message_class)
    b.business_id,
    c.message_class,
    b.sender_id
from smsretry.business_senders b
cross join (values ('marketing'), ('transactional')) c (message_class)
where b.message_class in (c.message_class, 'any')
order by b.business_id, c.message_class, b.message_class = 'any';
