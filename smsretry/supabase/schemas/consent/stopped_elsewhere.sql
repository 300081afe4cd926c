-- Whether a STOP to another sender than these holds for a number at a business, so that a START to these does not take it
-- back. A sender that serves this business alone speaks for it: it takes back a STOP to one that the business has left.
create or replace function smsretry.stopped_elsewhere(business_id uuid, number_key bytea, senders text[])
returns boolean language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    return exists (
        select 1 from smsretry.heard_stops h
        where h.number_key = stopped_elsewhere.number_key and not h.senders && stopped_elsewhere.senders
          and (smsretry.sends_through(stopped_elsewhere.business_id, h.senders)
               or '' = any (stopped_elsewhere.senders)
               or exists (select 1 from smsretry.senders s join smsretry.business_senders b on b.sender_id = s.id
                          where s.sent_by = any (stopped_elsewhere.senders)
                            and b.business_id <> stopped_elsewhere.business_id)));
end
$$;
