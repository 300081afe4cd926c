-- Whether a business of this sender has a text due and none in the claim, which has one of each of `claimed`. Stops at the
-- first. sender_id null: the environment's.
create or replace function smsretry.others_of_sender(sender_id uuid, claimed uuid[], at timestamptz)
returns boolean language sql stable set search_path = pg_catalog, pg_temp as $$
    select exists (
        select from smsretry.businesses_of_sender(
            others_of_sender.sender_id, others_of_sender.claimed[cardinality(others_of_sender.claimed)],
            cardinality(others_of_sender.claimed) + 1, others_of_sender.at, others_of_sender.claimed[1], null) o
        where not o.businesses <@ others_of_sender.claimed)
$$;
