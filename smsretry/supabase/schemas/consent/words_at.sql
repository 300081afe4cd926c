-- Write a word as it is said at each of these businesses.
create or replace function smsretry.words_at(
    businesses uuid[],
    phone text,
    said text,
    source text,
    dated timestamptz default null,
    senders text[] default null,
    twilio_sid text default null,
    customer_id uuid default null
)
returns smsretry.word[]
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    return array(
        select row(b.id, phone, customer_id, said, source, dated, senders, twilio_sid, null)::smsretry.word
        from unnest(businesses) b (id)
    );
end
$$;
