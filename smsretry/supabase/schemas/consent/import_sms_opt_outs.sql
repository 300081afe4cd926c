-- For people: opt-outs from another system, for one business or for each. opt_outs is an array of at most 500 objects: phone
-- (E.164), at (with its offset; without one it counts as now, and so does a date that has not come), line (to name it by).
-- A number needs no customer: one that comes later is opted out, too. A later opt-in stays. Changes nothing unless
-- dry_run => false; then who and because are needed. The same call again changes nothing more.
-- file_hash: the SHA-256 of the file they are from, which keeps what "now" is: smsretry.imported_files.
-- all_businesses: some a call, by id; the next call begins after_business => next_after, until that is null.
-- The rest: smsretry.import_at_business. time_zone: the business's.
create or replace function public.import_sms_opt_outs(
    opt_outs jsonb, business_id uuid default null, all_businesses boolean default false, dry_run boolean default true,
    who text default null, because text default null, file_hash text default null, after_business uuid default null
)
returns table (
    businesses integer, recorded integer, known integer, customers integer, cancelled integer, unmarked integer,
    undated integer, notes jsonb, next_after uuid, time_zone text
)
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    k_most constant integer := 500; -- each may lock customers, and the memory for locks is everybody's
    k_pairs constant integer := 2000; -- of numbers and businesses
    v_as_of timestamptz := smsretry.clock();
    v_key bytea;
    v_business record;
    v_done record;
begin
    if (dry_run is not null and all_businesses = (business_id is null) and jsonb_typeof(opt_outs) = 'array'
        and coalesce(file_hash ~ '^[0-9a-f]{64}$', true)) is not true then
        raise exception 'opt_outs must be an array, and for whom must be said in one way: business_id, or all_businesses'
            using errcode = 'SR422', hint = 'A file_hash is a SHA-256, in 64 small letters and digits. Nothing was recorded.';
    elsif jsonb_array_length(opt_outs) > k_most then
        raise exception 'opt_outs holds more than % lines: give them in several calls', k_most using errcode = 'SR422';
    end if;
    if not dry_run then
        perform smsretry.check_who_and_why(who, because);
    end if;
    if file_hash is not null then
        v_key := smsretry.number_key(coalesce(business_id, smsretry.everywhere()), file_hash);
        v_as_of := coalesce((select f.imported_at from smsretry.imported_files f where f.file_key = v_key), v_as_of);
    end if;
    businesses := 0; recorded := 0; known := 0; customers := 0; cancelled := 0; unmarked := 0; undated := 0; notes := '[]';
    begin
        insert into smsretry.imported_files (file_key, imported_at, business_id, who, because)
        select v_key, v_as_of, business_id, who, because where v_key is not null and not dry_run on conflict do nothing;
        for v_business in
            select b.id, b.timezone::text as zone from public.businesses b
            where (business_id is null or b.id = business_id) and (after_business is null or b.id > after_business)
            order by b.id limit greatest(1, k_pairs / greatest(1, jsonb_array_length(opt_outs)))
        loop
            select * into v_done from smsretry.import_at_business(
                v_business.id, opt_outs, v_as_of,
                'import_' || to_char(v_as_of at time zone 'UTC', 'YYYY-MM-DD'), -- a word, which explain_sms shows
                who, because);
            businesses := businesses + 1;
            recorded := recorded + v_done.recorded;
            known := known + v_done.known;
            customers := customers + v_done.customers;
            cancelled := cancelled + v_done.cancelled;
            unmarked := unmarked + v_done.unmarked;
            undated := greatest(undated, v_done.undated);
            notes := notes || v_done.notes;
            next_after := v_business.id;
            time_zone := case when business_id is not null then v_business.zone end;
        end loop;
        if dry_run then -- it has been tried, and is undone
            raise exception 'rolled back' using errcode = 'SR000';
        end if;
    exception when sqlstate 'SR000' then null;
    end;
    if business_id is not null and businesses = 0 then
        raise exception 'No business has this id' using errcode = 'SR404', hint = 'Check it against businesses.id. Nothing was recorded.';
    elsif business_id is not null or not exists (select 1 from public.businesses b where b.id > next_after) then
        next_after := null;
    end if;
    return next;
end
$$;
