-- Slow a sender down, as the provider asks: no slot of it comes for so many seconds, a quarter of
-- an hour at most, and no claim takes its texts until then. Slots that are reserved stay so.
-- Returns in how many seconds its next slot comes; null: nobody has this sender any more.
create or replace function public.slow_sms_sender(
    account text,
    sender text,
    seconds double precision
)
returns double precision
language plpgsql set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    v_now constant timestamptz := smsretry.clock();
    v_free_at timestamptz;
begin
    update smsretry.senders s
    set free_at = greatest(
        s.free_at,
        v_now + make_interval(
            secs => least(greatest(coalesce(slow_sms_sender.seconds, 0), 0), 900)
        )
    )
    where s.sent_by = slow_sms_sender.sender
      and (
          slow_sms_sender.account is null
          or s.account = slow_sms_sender.account
      )
    returning s.free_at
    into v_free_at;
    return extract(epoch from v_free_at - v_now);
end
$$;
