-- Answer a question to the desk, for who only reads, as JSON. No answer holds a whole number or a
-- body.
--   question: explain_sms, list_sms, preview_sms_retries, sms_senders, sms_businesses, sms_status
--     or unread_sms_words
--   asked: its parameters
-- security definer: it is all that smsretry_reader may do. The answers are made from numbers and
-- bodies, so a role that asked as itself could read those, too; and the application's tables would
-- need policies and grants for it. Each function is called with all of its parameters in their own
-- types: another of its name, which would run with the owner's rights, fits less well.
create or replace function public.ask_sms_desk(
    question text,
    asked jsonb default '{}'
)
returns jsonb
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan as $$
#variable_conflict use_column
declare
    v_asked record;
    v_answer jsonb;
begin
    select *
    into v_asked
    from jsonb_to_record(coalesce(ask_sms_desk.asked, '{}')) g (
        id uuid,
        phone text,
        business_id uuid,
        row_limit integer,
        which jsonb,
        until timestamptz,
        after_due timestamptz,
        after_id uuid,
        ids uuid[],
        sid text,
        last_digits text,
        name text
    );
    case ask_sms_desk.question
        when 'explain_sms' then
            v_answer := (
                select jsonb_agg(to_jsonb(r))
                from public.explain_sms(
                    v_asked.id,
                    v_asked.phone,
                    coalesce(v_asked.row_limit, 20),
                    v_asked.sid,
                    v_asked.last_digits
                ) r
            );
        when 'sms_businesses' then
            v_answer := (
                select jsonb_agg(to_jsonb(r))
                from public.sms_businesses(v_asked.name) r
            );
        when 'list_sms' then
            v_answer := (
                select jsonb_agg(to_jsonb(r))
                from public.list_sms(v_asked.which, coalesce(v_asked.row_limit, 100)) r
            );
        when 'preview_sms_retries' then
            v_answer := (
                select jsonb_agg(smsretry.without_number(r::jsonb))
                from public.preview_sms_retries(
                    v_asked.until,
                    v_asked.after_due,
                    v_asked.after_id,
                    v_asked.row_limit,
                    v_asked.ids
                ) r
            );
        when 'sms_senders' then
            v_answer := (
                select jsonb_agg(to_jsonb(r))
                from public.sms_senders(
                    v_asked.after_id,
                    v_asked.row_limit,
                    false,
                    v_asked.business_id
                ) r
            );
        when 'sms_status' then
            v_answer := public.sms_status();
        when 'unread_sms_words' then
            v_answer := (
                select jsonb_agg(to_jsonb(r))
                from public.unread_sms_words() r
            );
        else
            raise exception 'this is no question that may be asked'
                using errcode = 'SR422',
                      hint = 'Orders need the service key.';
    end case;
    return coalesce(v_answer, '[]');
end
$$;
