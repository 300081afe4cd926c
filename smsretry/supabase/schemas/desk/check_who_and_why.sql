-- Refuse a step without who and because, or with a phone number in them: both are kept for good and
-- shown to everybody.
create or replace function smsretry.check_who_and_why(who text, because text)
returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    if coalesce(btrim(who), '') = ''
        or coalesce(btrim(because), '') = ''
        or length(who) > 200
        or length(because) > 500
    then
        raise exception 'Say who you are (who, 200 characters at most) and why (because, 500): both are kept'
            using errcode = 'SR422';
    end if;
    if (
        smsretry.numberless(who),
        smsretry.numberless(because)
    ) is distinct from (who, because)
    then
        raise exception 'Leave phone numbers out of who and because: both are kept for good, and everybody sees them'
            using errcode = 'SR422',
                  hint = 'Name the customer by its id.';
    end if;
end
$$;
