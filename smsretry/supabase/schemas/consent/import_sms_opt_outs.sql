-- Import opt-outs from another system, at one business or at each; for people. A number needs no
-- customer: one that comes later is opted out, too. A later opt-in at a business stays. A
-- repetition changes nothing.
--   opt_outs: an array of at most 500 objects:
--     phone: in E.164
--     at: RFC 3339, with its offset, from 2000 on
--     line: to name it by
--   dry_run: true: nothing changes; false needs who and because
--   source: null: import_ and today's date
-- It returns
--   recorded, known: numbers
--   customers, cancelled, unmarked: as record_sms_consent
--   notes: lines that are not recorded: unreadable (also a date that has not come, or is on no
--     calendar), or outlived (by customer_id's opt-in)
create or replace function public.import_sms_opt_outs(
    opt_outs jsonb,
    business_id uuid default null,
    all_businesses boolean default false,
    dry_run boolean default true,
    who text default null,
    because text default null,
    source text default null
)
returns table (
    recorded integer,
    known integer,
    customers integer,
    cancelled integer,
    unmarked integer,
    notes jsonb
)
language plpgsql set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    -- each may lock customers, and the memory for locks is everybody's
    k_most constant integer := 500;
    -- times that PostgreSQL reads; a 30 February is taken apart below
    k_at constant text := '^20\d\d-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])[T ]([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,9})?)?(Z|[+-](0\d|1[0-4]):[0-5]\d)$';
    v_now constant timestamptz := smsretry.clock();
    v_line record;
    v_opt_in record;
    v_businesses uuid[];
    v_outlived smsretry.word[];
    v_words bigint[];
    v_marked record;
    -- until when customers are marked; a later run does the rest
    v_until constant timestamptz := clock_timestamp() + interval '2 seconds';
begin
    if (
        dry_run is not null
        and all_businesses = (business_id is null)
        and jsonb_typeof(opt_outs) = 'array'
    ) is not true
    then
        raise exception 'opt_outs must be an array, and for whom must be said in one way: business_id, or all_businesses'
            using errcode = 'SR422',
                  hint = 'Nothing was recorded.';
    elsif jsonb_array_length(opt_outs) > k_most then
        raise exception 'opt_outs holds more than % lines: give them in several calls',
            k_most
            using errcode = 'SR422';
    elsif business_id is not null
        and not exists (
            select from public.businesses b
            where b.id = business_id
        ) then
        raise exception 'No business has this id'
            using errcode = 'SR404',
                  hint = 'Check it against businesses.id. Nothing was recorded.';
    end if;
    if not dry_run then
        perform smsretry.check_who_and_why(who, because);
    end if;
    recorded := 0;
    known := 0;
    customers := 0;
    cancelled := 0;
    unmarked := 0;
    notes := '[]';
    begin
        for v_line in
            select
                case when w.at <= v_now then w.phone end as phone,
                min(w.line) as line,
                count(*)::integer as lines,
                max(w.at) as at
            from (
                select
                    case
                        when e.value ->> 'line' ~ '^[0-9]{1,15}$'
                            then (e.value ->> 'line')::bigint
                        else e.place
                    end as line,
                    case
                        when e.value ->> 'phone' ~ '^[+][1-9][0-9]{6,14}$'
                            then e.value ->> 'phone'
                    end as phone,
                    case
                        when e.value ->> 'at' ~ k_at
                            then overlay(
                                e.value ->> 'at' placing '01' from 9 for 2
                            )::timestamptz + substr(
                                e.value ->> 'at',
                                9,
                                2
                            )::integer * interval '24 hours' - interval '24 hours'
                    end as at
                from jsonb_array_elements(opt_outs) with ordinality e (value, place)
            ) w
            group by
                1,
                case
                    when (w.at <= v_now and w.phone <> '') is not true then w.line
                end
            order by
                1,
                2 -- two imports lock customers in the same order
        loop
            if v_line.phone is null then
                notes := notes
                    || jsonb_build_object(
                        'line', v_line.line,
                        'what', 'unreadable',
                        'lines', 1
                    );
                continue;
            end if;
            v_businesses := case
                when business_id is not null then array[business_id]
                else smsretry.businesses_of(v_line.phone) || null::uuid
            end; -- null: for those who get to know it
            v_outlived := '{}';
            for v_opt_in in
                select distinct on (c.business_id)
                    c.business_id,
                    c.id,
                    c.sms_consent_source::text as source,
                    c.sms_consent_at as at
                from public.customers c
                where c.phone = v_line.phone
                  and (c.business_id = any (v_businesses)) is true -- by the number's index alone
                  and smsretry.consent(c.sms_consent_status::text) = 'opted_in'
                  and c.sms_consent_at > v_line.at
                  and c.sms_consent_at <= v_now
                  and not smsretry.is_known_opt_in(
                      smsretry.number_key(c.business_id, v_line.phone),
                      c.sms_consent_at,
                      in_vain => true
                  )
                order by c.business_id, c.sms_consent_at desc
            loop
                notes := notes
                    || jsonb_build_object(
                        'line', v_line.line,
                        'what', 'outlived',
                        'lines', v_line.lines,
                        'customer_id', v_opt_in.id,
                        'business_id', v_opt_in.business_id
                    );
                v_businesses := array_remove(v_businesses, v_opt_in.business_id);
                v_outlived := v_outlived || row(
                    v_opt_in.business_id,
                    v_line.phone,
                    null,
                    'opted_in',
                    v_opt_in.source,
                    v_opt_in.at,
                    null,
                    null,
                    null
                )::smsretry.word;
            end loop;
            v_words := smsretry.keep_words(
                smsretry.words_at(
                    v_businesses,
                    v_line.phone,
                    'opted_out',
                    -- explain_sms shows the source: a word
                    coalesce(source, 'import_' || to_char(v_now at time zone 'UTC', 'YYYY-MM-DD')),
                    v_line.at
                ),
                everyone => true,
                marks => true
            );
            if v_words <> '{}' then -- else there is nothing new to outlive
                perform smsretry.keep_words(v_outlived);
            end if;
            recorded := recorded + (v_words <> '{}')::integer;
            known := known + v_line.lines - 1 + (
                v_words = '{}' and v_businesses <> '{}'
            )::integer;
            select m.*
            into v_marked
            from smsretry.write_consent(v_words, v_until) m;
            customers := customers + v_marked.opted_out;
            cancelled := cancelled + v_marked.cancelled;
            unmarked := unmarked + v_marked.unmarked;
            perform smsretry.note_event(w.customer_id, 'opted_out', who, because)
            from smsretry.consents w
            where w.id = any (v_words) and w.customer_id is not null;
        end loop;
        if recorded > 0 then
            perform smsretry.note_event(
                null,
                'opt_outs_imported',
                who,
                because,
                jsonb_build_object('recorded', recorded)
            );
        end if;
        if dry_run then -- it has been tried, and is undone
            raise exception 'rolled back' using errcode = 'SR001';
        end if;
    exception
        when sqlstate 'SR001' then
            null;
    end;
    return next;
end
$$;
