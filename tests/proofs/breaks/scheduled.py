"""Of scheduled sends."""

from typing import Final

from tests.proofs.breaks.one_line import Break

SCHEDULED: Final = {
    "one send is queued once at a time": Break(
        "public.queue_scheduled_sms", "where s.id = v_id for update skip locked", "where s.id = v_id"
    ),
    "a locked send is waited for by nobody": Break(
        "public.queue_scheduled_sms", "where s.id = v_id for update skip locked", "where s.id = v_id for update"
    ),
    "under the lock it is asked again whether it is scheduled": Break(
        "public.queue_scheduled_sms", "v_send.status = 'scheduled' and coalesce", "coalesce"
    ),
    "under the lock it is asked again whether it is due": Break(
        "public.queue_scheduled_sms", " and coalesce(v_send.look_at, v_send.scheduled_for) <= v_until"
    ),
    "nothing is queued further ahead than an hour": Break(
        "public.queue_scheduled_sms", "interval '1 hour'", "interval '100 hours'"
    ),
    "a business that is set apart waits with its scheduled sends": Break(
        "public.queue_scheduled_sms", "a.business_id = v_send.business_id and a.retry_at > v_now", "false"
    ),
    "a busy business is tried once": Break("public.queue_scheduled_sms", "v_busy := v_busy || v_send.business_id;"),
    "a business whose scheduled sends are slow is set apart": Break(
        "public.queue_scheduled_sms",
        "v_slow := v_slow || v_send.business_id;",
        spare="smsretry.set_apart has it by then and is asked, too; this is for when its row there is locked",
    ),
    "a send of another business's customer is not queued": Break(
        "smsretry.queue_scheduled", " and c.business_id = send.business_id"
    ),
    "an empty send is not queued": Break(
        "smsretry.queue_scheduled", "when coalesce(btrim(send.body, E' \\t\\n\\r'), '') = '' then 'no_body'"
    ),
    "what has expired is not queued": Break(
        "smsretry.queue_scheduled", "<= queue_scheduled.at then 'expired'", "<= '-infinity' then 'expired'"
    ),
    "a send expires at its moment": Break(
        "smsretry.queue_scheduled",
        "<= queue_scheduled.at then 'expired'",
        "< queue_scheduled.at then 'expired'",
        spare="it is about one microsecond",
    ),
    "a send's own end outranks its life": Break(
        "smsretry.queue_scheduled",
        "coalesce(send.not_after, case when isfinite(send.scheduled_for) then send.scheduled_for + life end)",
        "coalesce(case when isfinite(send.scheduled_for) then send.scheduled_for + life end, send.not_after)",
    ),
    "another text's id is not taken": Break(
        "smsretry.queue_scheduled", "l.customer_id = send.customer_id and l.subject = send.body", "true"
    ),
    "another business's log is not taken": Break(
        "smsretry.queue_scheduled", "l.id = send.id and l.business_id = send.business_id", "l.id = send.id"
    ),
    "a send keeps its own time": Break(
        "smsretry.queue_scheduled",
        "send_log_id => send.id, scheduled_for => send.scheduled_for,",
        "send_log_id => send.id,",
    ),
    "a send keeps its own end": Break(
        "smsretry.queue_scheduled", "expires_in => send.not_after - smsretry.clock(),", "expires_in => null,"
    ),
    "a send keeps its class": Break(
        "smsretry.queue_scheduled", "message_class => send.message_class)", "message_class => null)"
    ),
    "a send that stays as it was queues nothing": Break(
        "smsretry.queue_scheduled", "if coalesce(v_status = 'scheduled', true) then", "if false then"
    ),
    "a deferred check undoes one send alone": Break(
        "smsretry.queue_scheduled", "set constraints all immediate;", "null;"
    ),
    "a log that is swallowed queues nothing": Break(
        "smsretry.make_send_log", "if v_sent is null then", "if false then"
    ),
    "a log that says sent from the start queues nothing": Break(
        "smsretry.make_send_log", "elsif v_made and v_sent then", "elsif false then"
    ),
    "a log is made once": Break(
        "smsretry.make_send_log",
        "\n    where not exists (select 1 from public.send_logs l where l.id = make_send_log.id)",
    ),
    "a send that was held too long stays ended": Break(
        "smsretry.make_text", "h.scheduled_id = send.id and h.expired", "false"
    ),
    "one send's trouble is its own": Break(
        "smsretry.make_text", "exception when query_canceled or others then", "exception when query_canceled then"
    ),
    "a locked business makes its sends later": Break(
        "smsretry.make_text", "if state in ('55P03', '40P01', '40001') then", "if false then"
    ),
    "a send is held for its life at most": Break(
        "smsretry.keep_scheduled", "coalesce(v_since + keep_scheduled.life <= keep_scheduled.at, false)", "false"
    ),
    "a send is held since it was held first": Break(
        "smsretry.keep_scheduled",
        "coalesce(\n        send.held_since, (select h.held_since",
        "coalesce(\n        null, (select h.held_since",
    ),
    "what cannot be changed is kept beside": Break(
        "smsretry.keep_scheduled",
        "if coalesce(v_status = 'scheduled' and (v_expired or v_due < keep_scheduled.look_at), true) then",
        "if false then",
    ),
    "a queued send is changed with its text locked": Break(
        "smsretry.scheduled_send_changed",
        "q.status in ('pending', 'processing')\n        for update;",
        "q.status in ('pending', 'processing');",
    ),
    "what is too late is not changed": Break(
        "smsretry.scheduled_send_changed", "if v_refusal is not null then", "if false then"
    ),
    "a cancelled send cancels its text": Break(
        "smsretry.scheduled_send_changed",
        "perform smsretry.close_row(v_text, 'cancelled', new.why, new.why_code, null, v_now);",
        "null;",
    ),
    "a moved send moves its text": Break(
        "smsretry.scheduled_send_changed", "perform smsretry.put_back(v_text, new.scheduled_for, v_now);", "null;"
    ),
    "a moved send has its new end": Break("smsretry.scheduled_send_changed", "v_text.expires_at := new.not_after;"),
    "a changed send is looked at anew": Break("smsretry.scheduled_send_changed", "new.look_at := null;", "null;"),
    "only its own text is changed": Break("smsretry.scheduled_send_changed", " and q.business_id = old.business_id"),
    "a queued send keeps its words": Break(
        "smsretry.too_late",
        "(wanted.body, wanted.business_id, wanted.customer_id, wanted.message_class, "
        "wanted.send_log_id)\n                is distinct from",
        "(was.body, was.business_id, was.customer_id, was.message_class, was.send_log_id)\n            "
        "    is distinct from",
    ),
    "a queued send is moved or cancelled": Break(
        "smsretry.too_late", "wanted.status not in ('queued', 'cancelled')\n            or"
    ),
    "a text under way is not changed": Break("smsretry.too_late", " or live.status <> 'pending'"),
    "a text in doubt is not changed": Break("smsretry.too_late", " or live.in_doubt_since is not null\n", "\n"),
    "a repeated order plans one text": Break("public.schedule_sms", "on conflict (id) do nothing"),
    "an id is one text's": Break(
        "public.schedule_sms",
        "is distinct from (schedule_sms.business_id, schedule_sms.customer_id, schedule_sms.body)",
        "is null",
    ),
    "a customer of another business is not planned for": Break(
        "public.schedule_sms", " and c.business_id = schedule_sms.business_id"
    ),
}
