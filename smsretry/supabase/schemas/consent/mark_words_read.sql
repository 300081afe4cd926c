-- A number's texts that may mean stop no longer wait for a person; senders: only those that one of them heard, or nobody
-- knows who. Returns how many did.
create or replace function smsretry.mark_words_read(number_key bytea, at timestamptz, senders text[] default null)
returns integer language sql set search_path = pg_catalog, pg_temp as $$
    with seen as (
        update smsretry.inbound_texts t set seen_at = mark_words_read.at
        where t.number_key = mark_words_read.number_key and t.heard = 'words' and t.seen_at is null
          and (mark_words_read.senders is null or t.senders is null or t.senders && mark_words_read.senders)
        returning 1)
    select count(*)::integer from seen
$$;
