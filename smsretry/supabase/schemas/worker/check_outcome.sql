-- Refuse an outcome, next status, error and delay that contradict each other.
create or replace function smsretry.check_outcome(outcome text, next_status text, error text, retry_in interval)
returns void language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    if ((outcome, next_status) in (
        ('accepted', 'completed'), ('rejected', 'pending'), ('rejected', 'failed'),
        ('not_sent', 'pending'), ('not_sent', 'failed'), ('in_doubt', 'pending'))) is not true then
        raise exception 'A send whose outcome is % cannot leave its row %', outcome, next_status using errcode = 'SR422';
    end if;
    if next_status = 'pending' and retry_in is null then
        raise exception 'retry_in is missing: a row that goes back to pending needs a time' using errcode = 'SR422';
    end if;
    if next_status <> 'completed' and error is null then
        raise exception 'error is missing: a text that did not go out needs a reason' using errcode = 'SR422';
    end if;
end
$$;
