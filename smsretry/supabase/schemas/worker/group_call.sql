-- Write smsretry.group_call, which makes one call of a group. Its text comes from the functions'
-- parameters and defaults, so that PostgreSQL plans each call once. A migration that changes a
-- parameter runs this, too. A branch, here of end_sms_retry, has a line for each parameter:
--   when 'end_sms_retry' then return (select to_jsonb(f) from public.end_sms_retry(
--     case when arguments ? 'retry_id' then (arguments ->> 'retry_id')::uuid else null end, …) f);
do $do$
begin
    execute (
        select format(
            $f$
create or replace function smsretry.group_call(function text, arguments jsonb)
returns jsonb
language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    case function%s
    else
        raise exception 'There is no call %% in a group', function
            using errcode = 'SR422';
    end case;
end
$$
            $f$,
            string_agg(
                format(
                    E'\n    when %1$L then\n        return (select to_jsonb(f) from public.%1$I(%2$s) f);',
                    p.proname,
                    a.list
                ),
                ''
                order by p.proname
            )
        )
        from pg_proc p
        cross join lateral (
            select string_agg(
                format(
                    'case when arguments ? %1$L then (arguments ->> %1$L)::%2$s else %3$s end',
                    n.name,
                    n.type::regtype,
                    coalesce(
                        pg_get_function_arg_default(p.oid, n.place::integer),
                        'null'
                    )
                ),
                ', '
                order by n.place
            ) as list
            from unnest(p.proargnames, p.proargtypes::oid[])
                with ordinality n (name, type, place)
            where n.type is not null
        ) a
        where p.pronamespace = 'public'::regnamespace
          and p.proname in (
              'begin_sms_attempt',
              'finish_sms_attempt',
              'defer_sms_retry',
              'end_sms_retry'
          )
    );
end
$do$;
