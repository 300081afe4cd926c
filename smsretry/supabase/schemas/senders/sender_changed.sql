-- What follows each order about a sender: it is kept who gave it and why, the senders that no business uses any more are forgotten
-- (attempts keep what they went out from; one that a runner told stays), and texts of these businesses that wait because of their
-- sender are due at once. Whether they may go is decided when they are claimed. What somebody has locked waits for its own time,
-- and so do those of a business whose rules refuse it, those beyond its 10,000, and what does not fit into three seconds.
--   businesses: how many use the sender now · released: texts that became due
create or replace function smsretry.sender_changed(
    changed smsretry.senders, what text, who text, because text, release uuid[], detail jsonb default '{}',
    out sender_id uuid, out sender text, out businesses integer, out released integer
)
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_now constant timestamptz := smsretry.clock();
    v_until constant timestamptz := clock_timestamp() + interval '3 seconds';
    v_business uuid;
    v_texts integer;
begin
    sender_id := changed.id;
    sender := smsretry.shown_sender(changed.sent_by);
    perform smsretry.note_event(
        changed.id, sender_changed.what, sender_changed.who, sender_changed.because,
        jsonb_build_object('account', changed.account, 'sender', sender_changed.sender) || sender_changed.detail);
    if sender_changed.what in ('added', 'removed') then -- the caller has locked business_senders
        with gone as (
            delete from smsretry.senders s
            where s.told_at is null and not exists (select from smsretry.business_senders b where b.sender_id = s.id)
            returning s.id)
        delete from smsretry.stops x using gone g where x.kind = 'sender' and x.subject = g.id::text;
    end if;
    businesses := cardinality(smsretry.users_of(changed.id));
    released := 0;
    foreach v_business in array sender_changed.release loop
        exit when clock_timestamp() > v_until;
        begin
            update public.sms_retry_queue q set scheduled_for = v_now, updated_at = v_now
            where q.id in (
                select w.id from public.sms_retry_queue w
                where w.business_id = v_business and w.work = 'texts' and w.scheduled_for > v_now
                  and w.why_code in ('sender_paused', 'no_credentials', 'day_spent', 'account_refused', 'sending_stopped')
                order by w.id limit 10000 for update skip locked);
            get diagnostics v_texts = row_count;
            released := released + v_texts;
        exception when others then
            raise warning 'The texts of business % wait for their own time: %', v_business, sqlstate;
        end;
    end loop;
end
$$;
