-- Say whether a START takes back a word of this source. It takes back a STOP, in the provider's
-- word or another, what may mean stop, and the provider's refusal, which reports a STOP that no
-- webhook heard. Any other opt-out (by telephone, by letter, in the application, unknown) lasts until
-- a later opt-in.
-- In plpgsql, which is cheaper to call.
--   by_yes: the START was a YES, which may answer another question: it takes back only what the
--     provider blocks
create or replace function smsretry.start_takes_back(
    source text,
    by_yes boolean default false
)
returns boolean
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    return coalesce(
        source in ('inbound_stop', 'provider_refusal')
        or source like 'twilio\_%'
        or source in ('inbound_words', 'inbound_unsure')
            and not by_yes,
        false
    );
end
$$;
