"""Of senders: their rates, their days, whose they are, and their circuits."""

from typing import Final

from tests.proofs.breaks.one_line import Break

SENDERS: Final = {
    "two leases do not get one time": Break(
        "public.lease_sms_time", "else greatest(s.free_at, v_first) end", "else v_first end"
    ),
    "time that has passed is not given": Break(
        "public.lease_sms_time", "else greatest(s.free_at, v_first) end", "else s.free_at end"
    ),
    "a wrong rate does not stop a sender for ever": Break(
        "public.lease_sms_time", "when s.free_at > v_now + interval '1 hour' then v_first", "when false then v_first"
    ),
    "a sender that was asked to go slower goes slower": Break(
        "public.slow_sms_sender", "else greatest(s.free_at, v_until) end", "else s.free_at end"
    ),
    "nobody slows a sender down for longer than a quarter of an hour": Break(
        "public.slow_sms_sender", ", 900)", ", 90000)"
    ),
    "two requests of leases do not deadlock": Break(
        "public.lease_sms_times", "order by e.value ->> 'sender' collate \"C\", e.ordinality", "order by e.ordinality"
    ),
    "a locked sender keeps no other waiting": Break(
        "public.lease_sms_times", "perform set_config('lock_timeout', '10ms', true);", "null;"
    ),
    "a sender whose time is given away is passed over": Break(
        "smsretry.sender_room", "free_at > at + smsretry.claims_ahead() and free_at", "false and free_at"
    ),
    "a sender that is left out is passed over": Break(
        "smsretry.sender_room", "if v_sent_by = any (without) then", "if false then"
    ),
    "of a sender whose circuit is open few are tried": Break(
        "smsretry.sender_room", "room := least(room, 3);", "null;"
    ),
    "a claim takes of a sender what it sends in a second": Break(
        "smsretry.claim_by_sender", "(v_turn.rooms ->> v_owner)::integer - 1", "(v_turn.rooms ->> v_owner)::integer"
    ),
    "a sender's day counts what is in doubt": Break(
        "smsretry.day_used", "coalesce(a.outcome, 'in_doubt') in ('accepted', 'in_doubt')", "a.outcome = 'accepted'"
    ),
    "a sender's day counts its own segments": Break("smsretry.day_used", "and a.sent_by = sender.sent_by"),
    "a text that does not fit waits for the next day": Break(
        "smsretry.spent_until",
        "v_used.segments + least(coalesce(segments, 1), sender.segments_per_day) > sender",
        "v_used.segments > sender",
    ),
    "a text larger than a day goes out when nothing did": Break(
        "smsretry.spent_until", "least(coalesce(segments, 1), sender.segments_per_day)", "coalesce(segments, 1)"
    ),
    "a clock that was set back counts anew": Break("smsretry.day_used", " and sender.counted_to <= at"),
    "what is counted already is not counted twice": Break("smsretry.day_used", "v_from := sender.counted_to;", "null;"),
    "a sender's row is waited for by no begin": Break(
        "smsretry.spent_until", "where f.id = sender.id for update skip locked", "where f.id = sender.id for update"
    ),
    "a raised cap ends a spent day": Break("smsretry.spent_day", " and sender.segments_per_day <= sender.spent_cap"),
    "a class's sender outranks the business's": Break(
        "smsretry.sender_of", "order by b.message_class = 'any'", "order by b.message_class <> 'any'"
    ),
    "a sender that was the environment's speaks for its business alone": Break(
        "smsretry.is_environments",
        "and d.seen_at > (select max(o.seen_at) from smsretry.default_senders o) - interval '1 day'",
    ),
    "an unused sender goes": Break(
        "smsretry.forget_unused_senders", "s.id = any (v_unused) and not exists", "false and not exists"
    ),
    "a sender that somebody shares meanwhile stays": Break(
        "smsretry.forget_unused_senders",
        "where s.id = any (v_unused) and not exists (select from smsretry.business_senders b where b.sender_id = s.id)",
        "where s.id = any (v_unused)",
        spare="the foreign key of business_senders refuses: the order fails, and is given again",
    ),
    "an active sender is replaced only on demand": Break(
        "public.add_sms_sender", "and replace is not true then", "and false then"
    ),
    "two orders for one business do not pass each other": Break(
        "public.add_sms_sender",
        "where b.sender_id is not distinct from v_had.id or b.sender_id = v_sender.id",
        "where true",
    ),
    "a dry order adds no sender": Break("public.add_sms_sender", "if dry_run then", "if false then"),
    "a shared sender keeps its rate": Break(
        "smsretry.keep_sender",
        "if segments_per_second is not null and segments_per_second is distinct from "
        "v_sender.segments_per_second\n        or",
        "if",
    ),
    "one of two accounts is not guessed": Break(
        "smsretry.one_sender", "if cardinality(v_ids) > 1 then", "if false then"
    ),
    "texts in doubt are not hurried": Break(
        "smsretry.hurry_texts", "q.status = 'pending' and q.in_doubt_since is null", "q.status = 'pending'"
    ),
    "only what waits for its sender is hurried": Break(
        "smsretry.hurry_texts",
        "and q.why_code in ('sender_paused', 'no_credentials', 'day_spent', 'account_refused', 'sending_stopped')",
    ),
    "what is due already is not hurried": Break("smsretry.hurry_texts", "and q.scheduled_for > v_now"),
    "a locked text is not waited for": Break(
        "smsretry.hurry_texts", "order by q.id for update skip locked", "order by q.id for update"
    ),
    "a resumed sender's circuit closes": Break(
        "public.resume_sms_sender", "perform smsretry.close_sender_circuits(v_sender.sent_by);"
    ),
}
CIRCUITS: Final = {
    "a removed sender's trouble is nobody's": Break(
        "public.set_sms_circuit", "if set_sms_circuit.own and not v_own then", "if false then"
    ),
    "one business's trouble is not everybody's": Break(
        "public.set_sms_circuit", "if set_sms_circuit.business_ids is not null then", "if false then"
    ),
    "a business's circuit closes for its own sender": Break(
        "public.set_sms_circuit",
        "b.business_id = any (set_sms_circuit.business_ids) and smsretry.same_circuit(b.sender, v_sender, v_own)",
        "b.business_id = any (set_sms_circuit.business_ids)",
    ),
    "circuits are locked in one order": Break(
        "public.set_sms_circuit", "order by i.id -- so", "order by i.id desc -- so"
    ),
    "old trouble of a business is forgotten": Break(
        "public.set_sms_circuit", "where b.tried_at < v_now - interval '1 day'", "where false"
    ),
    "another sender's circuit is not closed": Break(
        "smsretry.same_circuit",
        "case when own or sender = '' then kept_as = sender",
        "case when own or sender = '' then true",
    ),
    "the environment's senders have one circuit": Break(
        "smsretry.same_circuit", "else smsretry.is_environments(kept_as) end", "else kept_as = sender end"
    ),
}
