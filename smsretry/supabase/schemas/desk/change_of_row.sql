-- What a step does to one row, for smsretry.change_summary. Holds only the last four digits of a number.
create or replace function smsretry.change_of_row(retry public.sms_retry_queue, was text, skipped text, warned text default null)
returns jsonb language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    return jsonb_build_object(
        'retry_id', retry.id, 'business_id', retry.business_id, 'customer_id', retry.customer_id,
        'number', smsretry.masked((select c.phone from public.customers c where c.id = retry.customer_id)),
        'message_class', retry.message_class, 'attempts', retry.attempt_count, 'was', smsretry.numberless(change_of_row.was),
        'skipped', change_of_row.skipped, 'warned', change_of_row.warned);
end
$$;
