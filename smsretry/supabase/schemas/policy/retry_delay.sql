-- Tell how long a text waits after so many sends from the queue; the last value repeats. The minutes
-- are those of RETRY_DELAYS in smsretry/retry/backoff.py: `python -m tests.record_schema`.
create or replace function smsretry.retry_delay(attempt_count integer)
returns interval
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
    k_minutes constant integer[] := array[1, 5, 15];
begin
    return make_interval(
        mins => k_minutes[
            least(
                greatest(attempt_count, 0),
                cardinality(k_minutes) - 1
            ) + 1
        ]
    );
end
$$;
