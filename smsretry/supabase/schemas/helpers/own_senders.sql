-- The sender that a business has of its own for each class of texts. One of the class outranks one
-- for any. Ask for one business and class, in a subquery that ends in `offset 0`.
create or replace view smsretry.own_senders with (security_invoker = true) as
select distinct on (b.business_id, c.message_class)
    b.business_id,
    c.message_class,
    b.sender_id
from smsretry.business_senders b
cross join (values ('marketing'), ('transactional')) c (message_class)
where b.message_class in (c.message_class, 'any')
order by b.business_id, c.message_class, b.message_class = 'any';
