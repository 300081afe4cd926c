-- Pass an update of a scheduled send on to its text. While it waits, anything may change. Once
-- queued, moving or cancelling it does the same to its text. Where that is too late, or something
-- else is to change, the statement is refused (SR409), so that nobody takes a text for cancelled
-- that goes out. security definer, because an owner may change its scheduled sends and not the
-- queue.
create or replace function smsretry.scheduled_send_changed()
returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    v_now constant timestamptz := smsretry.clock();
    v_is_moved constant boolean := (new.scheduled_for, new.not_after)
        is distinct from (old.scheduled_for, old.not_after);
    v_is_another constant boolean := (
        new.body,
        new.business_id,
        new.customer_id,
        new.message_class,
        new.send_log_id
    ) is distinct from (
        old.body,
        old.business_id,
        old.customer_id,
        old.message_class,
        old.send_log_id
    );
    v_text public.sms_retry_queue;
    v_obstacle text;
begin
    new.updated_at := v_now;
    if new.status = 'cancelled' and old.status <> 'cancelled' then
        new.held_since := null;
        new.why_code := coalesce(nullif(new.why_code, old.why_code), 'application');
        new.why := left(
            coalesce(nullif(new.why, old.why), 'Cancelled by the application'),
            smsretry.longest_reason()
        );
    end if;
    if old.status <> 'queued' then
        if new.status = 'scheduled' and old.status <> 'scheduled' then
            new.why := null; -- wanted after all
            new.why_code := null;
        end if;
        if v_is_moved or v_is_another then
            new.look_at := null; -- looked at anew
        end if;
    elsif v_is_moved or v_is_another or new.status <> 'queued' then
        if v_is_another or new.status not in ('queued', 'cancelled') then
            raise exception 'Scheduled send % is queued: it can be moved or cancelled, and nothing else',
                old.id
                using errcode = 'SR409',
                      hint = 'Cancel it and schedule another.';
        end if;
        select q.*
        into v_text
        from public.sms_retry_queue q
        where q.send_log_id = old.send_log_id
          and q.business_id = old.business_id
          and q.status in ('pending', 'processing')
        for update;
        v_obstacle := case
            when v_text.id is null then 'has ended'
            when v_text.in_doubt_since is not null
                then 'may have gone out, and evidence is looked for'
            when v_text.status <> 'pending' then 'is with a worker at this moment'
        end;
        if v_obstacle is not null then
            raise exception 'It is too late to change scheduled send %: its text %',
                old.id,
                v_obstacle
                using errcode = 'SR409',
                      hint = 'Leave it out: explain_sms tells what became of it, by its send log.';
        end if;
        if new.status = 'cancelled' then
            perform smsretry.save_row(
                v_text,
                v_now,
                ended => 'cancelled',
                why => new.why,
                why_code => new.why_code
            );
        else
            v_text.expires_at := new.not_after;
            v_text.held_since := null;
            v_text.why := null;
            v_text.why_code := null;
            v_text.reason := null;
            perform smsretry.save_row(v_text, v_now, due => new.scheduled_for);
        end if;
    end if;
    return new;
end
$$;
