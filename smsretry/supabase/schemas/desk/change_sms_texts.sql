-- For a person: requeue texts that have ended, cancel those that wait, or look at those again now that wait for what is mended.
-- which: smsretry.texts_that_fit; without states those that failed, or all that have not ended. Nothing changes without
-- dry_run => false: then who and because are needed, and are kept with each text. row_limit: those that changed last.
--   matched: those that fit, and those named by id · changed: or would be · skipped: left alone, by reason · warned: changed all
--   the same · sample: the first 20, as list_sms showed them before
create or replace function public.change_sms_texts(
    what text, which jsonb, dry_run boolean default true, who text default null, because text default null,
    row_limit integer default 1000, more_attempts integer default 3
)
returns table (matched integer, changed integer, skipped jsonb, warned jsonb, sample jsonb)
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    v_now constant timestamptz := smsretry.clock();
    v_may constant text[] := case what when 'requeue' then array['failed', 'cancelled']
                                       else array['scheduled', 'due', 'waiting', 'held', 'under_way', 'in_doubt'] end;
    v_states constant text[] := coalesce(array(select jsonb_array_elements_text(which -> 'states')), '{}');
    v_asked constant text[] := case when v_states <> '{}' then v_states when what = 'requeue' then array['failed'] else v_may end;
    v_ids uuid[];
    v_named uuid[] := '{}';
    v_lines jsonb;
    v_done jsonb := '[]';
    v_id uuid;
    v_text record;
begin
    if (what in ('requeue', 'cancel', 'look') and which - 'states' <> '{}' and dry_run is not null and v_asked <@ v_may
        and row_limit between 1 and 10000 and more_attempts between 1 and 100) is not true then
        raise exception 'what is requeue, cancel or look; which says more than states, and states that this may change; row_limit is 1 to 10000, more_attempts 1 to 100'
            using errcode = 'SR422';
    end if;
    if not dry_run then
        perform smsretry.check_who_and_why(who, because);
    end if;
    v_ids := array(
        select f.id from smsretry.texts_that_fit(which || jsonb_build_object('states', v_asked)) with ordinality f (id, place)
        left join public.sms_retry_queue q on q.id = f.id and what = 'look'
        -- Only those that somebody named are told why they are not looked at.
        where what <> 'look' or which ? 'retry_ids' or q.id is not null and smsretry.left_alone('look', q, null, v_now) is null
        order by f.place limit row_limit);
    if which ? 'retry_ids' and cardinality(v_ids) < row_limit then
        v_named := array(select n::uuid from jsonb_array_elements_text(which -> 'retry_ids') n where n::uuid <> all (v_ids) order by 1);
    end if;
    v_lines := (select jsonb_object_agg(l.retry_id, to_jsonb(l)) from smsretry.listed_texts((v_ids || v_named)[:20]) l);
    foreach v_id in array v_ids || v_named loop
        select * into v_text from smsretry.change_text(
            what, v_id, v_asked, v_id = any (v_ids), dry_run, who, because, more_attempts, v_now);
        v_done := v_done || jsonb_build_object('id', v_id, 'skipped', v_text.skip, 'warned', v_text.warn);
    end loop;
    return query
    with told as (
        select d.line ->> 'id' as id, d.line ->> 'skipped' as skip, d.line ->> 'warned' as warn, d.line - 'id' as said, d.place
        from jsonb_array_elements(v_done) with ordinality d (line, place)
    )
    select cardinality(v_ids) + (select count(*) from public.sms_retry_queue q where q.id = any (v_named))::integer,
           (count(*) filter (where t.skip is null))::integer,
           coalesce((select jsonb_object_agg(s.skip, s.texts) from (
                         select u.skip, count(*) as texts from told u where u.skip is not null group by u.skip) s), '{}'),
           coalesce((select jsonb_object_agg(w.warn, w.texts) from (
                         select u.warn, count(*) as texts from told u where u.warn is not null and u.skip is null group by u.warn) w), '{}'),
           coalesce(jsonb_agg(v_lines -> t.id || t.said order by t.place) filter (where v_lines ? t.id), '[]')
    from told t;
end
$$;
