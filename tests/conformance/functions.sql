-- What the conformance tests call. The tests drop all of it at their end.

create table public.notes (id int primary key, word text not null, at timestamptz not null default now());
alter table public.notes enable row level security;
-- Since 2026-10-30 no project grants a new table to anybody: supabase/discussions/45329.
grant all on public.notes to anon, authenticated, service_role;

create function public.add_up(a int, b int default 10) returns int language sql as 'select a + b';
create function public.who() returns json language sql as $$
    select json_build_object('role', current_user, 'uid', auth.uid(), 'claimed', auth.role()) $$;
create function public.nothing() returns void language sql as 'select 1';
create function public.nil() returns text language sql as 'select null::text';
create function public.note(id int, word text) returns void
language sql as 'insert into public.notes values (id, word)';
create function public.note_stable(id int) returns void language plpgsql stable as $$
    begin perform public.note(id, 'x'); end $$;
create function public.notes_all() returns setof public.notes
language sql as 'select * from public.notes order by id';
create function public.one_note() returns public.notes language sql as 'select * from public.notes order by id limit 1';
create function public.numbers(n int) returns setof int language sql as 'select generate_series(1, n)';
create function public.pairs(n int) returns table (i int, at timestamptz, price numeric, tags text[], more jsonb)
language sql as $$
    select g, '2026-03-08T07:00:00.5Z'::timestamptz, 1.50, array['a', 'b'],
           '{"k": null}'::jsonb from generate_series(1, n) g $$;
create function public.shapes(u uuid, t timestamptz, j jsonb, l int[], s text, f bool) returns jsonb language sql as $$
    select jsonb_build_object('u', u, 't', t, 'j', j, 'l', l, 's', s, 'f', f) $$;
create function public.fail(state text, message text) returns void language plpgsql as $$
    begin raise exception using errcode = state, message = message, detail = 'the detail', hint = 'the hint'; end $$;
create function public.in_words(n int) returns text language sql stable as $$select n || ' texts'$$;
create function public.overloaded(a int) returns int language sql as 'select 1';
create function public.overloaded(a text) returns int language sql as 'select 2';
create function public.for_service() returns int language sql as 'select 1';
create function public.read_for_service() returns int language sql stable as 'select 1';
revoke all on function public.for_service(), public.read_for_service() from public, anon, authenticated;
grant execute on function public.for_service(), public.read_for_service() to service_role;
create function public.stable_trouble() returns text language plpgsql stable as $$
    begin raise exception 'trouble' using errcode = 'PT503'; end $$;
create function public.volatile_trouble() returns text language plpgsql volatile as $$
    begin raise exception 'trouble' using errcode = 'PT503'; end $$;
create function public.slower_than_allowed() returns void language sql set statement_timeout = '50ms' as $$
    select pg_sleep(5) $$;
