-- What a number wrote that may mean stop waits for a person no longer. Returns how many texts did.
create or replace function smsretry.see_words(number_key bytea, at timestamptz)
returns integer language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_seen integer;
begin
    update smsretry.inbound_texts t set seen_at = see_words.at
    where t.number_key = see_words.number_key and t.heard = 'words' and t.seen_at is null;
    get diagnostics v_seen = row_count;
    return v_seen;
end
$$;
