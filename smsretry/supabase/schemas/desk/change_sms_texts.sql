-- Requeue texts that have ended, cancel those that wait, or look again at those that wait for what
-- is mended now; for a person.
--   what: requeue, cancel or look
--   which: smsretry.texts_that_fit; without states those that failed, or all that have not ended
--   dry_run: true: nothing changes; false needs who and because, which are kept with each text
--   row_limit: how many at most: those that changed last
--   matched: texts that fit, and of those named by id any state
--   changed: texts that were changed, or would be
--   skipped: texts that are left alone, by reason
--   sample: the first 20, as list_sms showed them before
create or replace function public.change_sms_texts(
    what text,
    which jsonb,
    dry_run boolean default true,
    who text default null,
    because text default null,
    row_limit integer default 1000
)
returns table (matched integer, changed integer, skipped jsonb, sample jsonb)
language plpgsql set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    v_now constant timestamptz := smsretry.clock();
    v_are_named constant boolean := which ? 'retry_ids';
    v_permitted constant text[] := case what
        when 'requeue' then array['failed', 'cancelled']
        else array['scheduled', 'due', 'waiting', 'held', 'under_way', 'in_doubt']
    end;
    v_states constant text[] := coalesce(
        nullif(array(select jsonb_array_elements_text(which -> 'states')), '{}'),
        case what when 'requeue' then array['failed'] else v_permitted end
    );
    v_ids uuid[];
begin
    if (
        what in ('requeue', 'cancel', 'look')
        and dry_run is not null
        and v_states <@ v_permitted
        and row_limit between 1 and 10000
    ) is not true
    then
        raise exception 'what must be requeue, cancel or look, and row_limit 1 to 10000. % is only for texts that are %',
            coalesce(what, 'An order'),
            array_to_string(v_permitted, ', ')
            using errcode = 'SR422';
    elsif (which - 'states' <> '{}') is not true then
        raise exception 'Say which texts: by more than their states'
            using errcode = 'SR422';
    end if;
    if not dry_run then
        perform smsretry.check_who_and_why(who, because);
    end if;
    v_ids := array(
        select f.id
        from smsretry.texts_that_fit(
            case
                when v_are_named then which - 'states'
                else which || jsonb_build_object('states', v_states)
            end
        ) with ordinality f (id, place)
        left join public.sms_retry_queue q
            on q.id = f.id and what = 'look'
        -- Whoever names texts is told why they are not looked at.
        where what <> 'look'
          or v_are_named
          or q.id is not null
              and smsretry.left_alone('look', q, null, v_now) is null
        order by f.place
        limit row_limit
    );
    sample := coalesce(
        (
            select jsonb_agg(to_jsonb(l))
            from public.list_sms(jsonb_build_object('retry_ids', v_ids[:20])) l
        ),
        '[]'
    );
    matched := cardinality(v_ids);
    select
        coalesce(sum(t.texts) filter (where t.skip is null), 0)::integer,
        coalesce(
            jsonb_object_agg(t.skip, t.texts) filter (where t.skip is not null),
            '{}'
        )
    into changed, skipped
    from (
        select c.skip, count(*) as texts
        from unnest(v_ids) i (id)
        cross join lateral smsretry.change_text(
            what,
            i.id,
            v_states,
            dry_run,
            who,
            because,
            v_now
        ) c
        group by c.skip
    ) t;
    return next;
end
$$;
