"""Of calls and rows that go together, and businesses that are set apart."""

from typing import Final

from tests.proofs.breaks.one_line import Break

TOGETHER: Final = {
    "groups lock in one order": Break(
        "public.group_sms_calls", "order by c.value ->> 'lock_order', c.ordinality", "order by c.ordinality"
    ),
    "one call's failure undoes that one": Break(
        "public.group_sms_calls", "when others then\n", "when no_data_found then\n"
    ),
    "a deferred check undoes one call alone": Break(
        "public.group_sms_calls", "set constraints all immediate; -- a deferred"
    ),
    "a group waits for one lock": Break(
        "public.group_sms_calls", "perform set_config('smsretry.wait', '10ms', true);", "null;"
    ),
    "a group does not work for who has given up": Break(
        "public.group_sms_calls", "if v_over or v_began > v_until then", "if v_over then"
    ),
    "a call that was cancelled ends the group": Break("public.group_sms_calls", "v_over := true;", "null;"),
    "a row that cannot be claimed stays alone": Break("smsretry.take", "when others then", "when no_data_found then"),
    "a slow business is set apart": Break("smsretry.take", "if smsretry.took_long(v_began) then", "if false then"),
    "a business that is set apart has one row tried": Break(
        "smsretry.take", "(o.nth = 1 and o.retry_at <= take.at)", "(o.retry_at <= take.at)"
    ),
    "a business that is set apart waits": Break(
        "smsretry.take", "(o.nth = 1 and o.retry_at <= take.at)", "(o.nth = 1)"
    ),
    "what was set apart comes back": Break(
        "smsretry.take", "delete from smsretry.set_apart s where s.business_id = v_owners[n];", "null;"
    ),
    "a deferred check undoes no other claim": Break(
        "smsretry.take_each", "set constraints all immediate; -- a deferred check would undo the others, too"
    ),
    "recovery goes on past a row that cannot be written": Break(
        "public.recover_stuck_sms_retries", "when others then", "when no_data_found then"
    ),
    "recovery leaves who is set apart": Break(
        "public.recover_stuck_sms_retries", "s.business_id = q.business_id and s.retry_at > v_now", "false"
    ),
}
