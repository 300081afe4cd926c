-- Put those of these claimed texts in doubt whose message may have left before a restore from a backup
-- (smsretry.forgotten): they are looked for before another one leaves.
create or replace function smsretry.doubt_forgotten(ids uuid[], at timestamptz)
returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_forgotten record;
    v_row public.sms_retry_queue;
begin
    for v_forgotten in
        select f.*
        from smsretry.forgotten f
        where f.retry_id = any (doubt_forgotten.ids)
    loop
        select *
        into v_row
        from public.sms_retry_queue q
        where q.id = v_forgotten.retry_id;
        continue when v_row.in_doubt_since is not null;
        v_row.attempt_id := smsretry.presume_send(v_row, v_forgotten.since, at);
        continue when v_row.attempt_id is null;
        v_row.in_doubt_since := v_forgotten.until;
        v_row.reconcile_count := 0;
        v_row.held_since := null;
        v_row.why := 'The database was restored from a backup: it is unknown whether the text went out after that was taken';
        v_row.why_code := 'restored';
        perform smsretry.save_row(v_row, at);
        perform smsretry.note_event(v_row.id, 'in_doubt', 'smsretry', v_row.why);
    end loop;
end
$$;
