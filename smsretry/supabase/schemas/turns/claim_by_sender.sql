-- Lock up to limit_count due texts, as smsretry.claim_in_turn, and of each sender no more than it can send soon. Parameters:
-- smsretry.turns_of_senders.
--   ids: in turns · businesses, owners: whose turn it was, and whose sender's · last: of each sender with a rate, the business
--   served last, for smsretry.end_turns_of_senders · complete: whether nobody else has any due
create or replace function smsretry.claim_by_sender(
    limit_count integer, at timestamptz, sender text, per_second double precision, without text[],
    out ids uuid[], out businesses uuid[], out owners uuid[], out last jsonb, out complete boolean
)
language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    k_peek constant integer := greatest(4 * limit_count, 200);
    v_turn record;
    v_memory record;
    v_places uuid[];
    v_classes text[];
    v_served uuid;
    v_text record;
    v_owner text;
    v_due boolean;
begin
    ids := '{}';
    last := '{}';
    select t.place, t.after into v_memory from smsretry.turns t
    where t.kind = 'texts' order by t.place limit 1 for update skip locked;
    select * into v_turn from smsretry.turns_of_senders(
        at, coalesce(v_memory.after, md5(concat(clock_timestamp(), pg_backend_pid()))::uuid), 2 * limit_count, k_peek,
        sender, per_second, without);
    complete := v_turn.complete;
    -- The businesses of a sender with a rate go round from its own memory, in the place of the first of them.
    select array_agg(o.business order by o.lane, o.behind, o.business), array_agg(o.class order by o.lane, o.behind, o.business),
           array_agg(o.owner order by o.lane, o.behind, o.business), array_agg(o.place order by o.lane, o.behind, o.business)
    into businesses, v_classes, owners, v_places
    from (
        select u.business, u.class, u.owner, first_value(u.place) over w as place, min(u.n) over w as lane,
               coalesce(u.business <= (v_turn.afters ->> u.owner::text)::uuid, false) as behind
        from unnest(v_turn.businesses, v_turn.classes, v_turn.owners, v_turn.places) with ordinality as u (business, class, owner, place, n)
        window w as (partition by case when v_turn.rooms ->> u.owner::text is null then u.n::text else u.owner::text end order by u.n)
    ) o;
    if businesses is null then
        businesses := '{}';
        owners := '{}';
        return;
    end if;
    for v_text in
        select * from smsretry.texts_of_turns(businesses, v_classes, k_peek / cardinality(businesses) + 1, limit_count, at)
    loop
        exit when cardinality(ids) >= limit_count;
        v_owner := owners[v_text.place];
        continue when (v_turn.rooms ->> v_owner)::integer = 0;
        select q.status = 'pending' and q.scheduled_for <= at and q.recover_count < smsretry.suspect_after() and q.in_doubt_since is null
        into v_due from public.sms_retry_queue q where q.id = v_text.id for update skip locked;
        if v_due then
            ids := ids || v_text.id;
            v_served := v_places[v_text.place];
            if v_turn.rooms ->> v_owner is not null then
                v_turn.rooms := v_turn.rooms || jsonb_build_object(v_owner, (v_turn.rooms ->> v_owner)::integer - 1);
                last := last || jsonb_build_object(v_owner, businesses[v_text.place]);
            end if;
        end if;
    end loop;
    if v_turn.seen > limit_count then
        perform smsretry.end_turn('texts', v_memory.place, v_places, v_turn.passed, v_served, cardinality(ids) = limit_count);
    end if;
end
$$;
