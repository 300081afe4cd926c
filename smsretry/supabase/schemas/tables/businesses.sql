-- The application's table. It is made only where there is none, and its policy with it: an existing
-- one keeps its own.
do $$
begin
    if to_regclass('public.businesses') is null then
        create table public.businesses (
            id uuid primary key default gen_random_uuid(),
            user_id uuid not null,
            name text not null,
            timezone text
        );
        alter table public.businesses enable row level security;
        create policy "Owners read their businesses" on public.businesses
            for select to authenticated using (user_id = (select auth.uid()));
        grant select on public.businesses to authenticated;
    end if;
end
$$;

-- Our columns, whoever made the table. Hours are text, so that a person can write and read them in
-- a table editor.
alter table public.businesses add column if not exists sms_hours text;
comment on column public.businesses.sms_hours is 'The business''s own hours for texts, on the customer''s clock: 09:00-18:00, or Mon-Fri 09:00-18:00, Sat 10:00-16:00. They narrow what the law allows. Null: it has none of its own.';
alter table public.businesses add column if not exists sms_daily_cap integer;
comment on column public.businesses.sms_daily_cap is 'The most texts of this business that one number gets in 24 hours; marketing texts above it wait. It narrows what the law allows. Null: it has none of its own.';

-- Unreadable hours would hold every text of the business. The grammar is that of
-- smsretry.quiet_hours.hours.parse_week, which also notices hours that close before they open.
do $$
declare
    day constant text := '(Mon|Tue|Wed|Thu|Fri|Sat|Sun)';
    clock constant text := '([01][0-9]|2[0-3]):[0-5][0-9]';
    entry constant text := '((' || day || '(-' || day || ')? )?'
        || clock || '-(' || clock || '|24:00))';
begin
    alter table public.businesses drop constraint if exists businesses_sms_daily_cap;
    alter table public.businesses
        add constraint businesses_sms_daily_cap check (sms_daily_cap > 0);
    alter table public.businesses drop constraint if exists businesses_sms_hours;
    execute format(
        'alter table public.businesses add constraint businesses_sms_hours check (sms_hours ~ %L)',
        '^' || entry || '(, *' || entry || ')*$'
    );
end
$$;

grant select on public.businesses to service_role;
