"""Of consent, opt-outs and opt-ins."""

from typing import Final

from tests.proofs.breaks.one_line import Break

CONSENT: Final = {
    "the provider's word outranks the text's": Break(
        "public.record_inbound_sms", "v_type in ('STOP', 'START')", "v_type in ('START')"
    ),
    "words that may mean stop are one": Break(
        "public.record_inbound_sms", "v_means is not null then 'STOP'", "v_means = 'keyword' then 'STOP'"
    ),
    "a text taken for HELP says no START": Break(
        "public.record_inbound_sms", "when v_type = '' and v_word", "when v_word"
    ),
    "each text is recorded once": Break("public.record_inbound_sms", "v_again := not found;", "v_again := false;"),
    "a repeated text counts from when it was heard": Break(
        "public.record_inbound_sms", "select t.said, t.heard_at, t.heard", "select t.said, v_heard_at, t.heard"
    ),
    "a START of an unknown sender takes nothing back": Break(
        "public.record_inbound_sms", "when v_by.lifts then 'opted_in'", "when true then 'opted_in'"
    ),
    "a YES takes back less than a START": Break(
        "public.record_inbound_sms", "coalesce(v_heard = 'yes', false)", "false"
    ),
    "a STOP holds at those who texted, too": Break(
        "public.record_inbound_sms",
        "v_heard_at, null, v_again, true, v_by.senders",
        "v_heard_at, null, v_again, false, v_by.senders",
    ),
    "a repeated STOP marks only who was left": Break(
        "smsretry.opt_out", "continue when opt_out.left_only", "continue when false"
    ),
    "a lock at one business keeps no other from opting out": Break(
        "smsretry.opt_out", "exception when others then", "exception when no_data_found then"
    ),
    "an opt-out that cannot be written is kept": Break(
        "smsretry.opt_out",
        "perform smsretry.keep_unwritten(v_key, v_business, 'opted_out', opt_out.at, opt_out.source);",
    ),
    "an opt-out at one business is not everybody's": Break(
        "smsretry.opt_out", "opt_out.business_id is null or b.id = opt_out.business_id", "true"
    ),
    "businesses opt out in one order": Break(
        "smsretry.opt_out", "        order by b.id\n", spare="businesses_of has that order already"
    ),
    "who hears a STOP by its sender is asked": Break(
        "smsretry.opt_out", "case when not opt_out.left_only then opt_out.senders end", "null"
    ),
    "which senders heard a STOP is kept": Break(
        "smsretry.opt_out", "perform smsretry.keep_stop(v_key, opt_out.senders, opt_out.at);"
    ),
    "businesses that only texted the number hear its STOP": Break(
        "smsretry.businesses_of", "businesses_of.texted and exists", "false and exists"
    ),
    "businesses that texted from the sender hear its STOP": Break(
        "smsretry.businesses_of", "or smsretry.texted_through(known.id, businesses_of.phone, businesses_of.senders)"
    ),
    "other senders' businesses do not hear a STOP": Break(
        "smsretry.businesses_of", "businesses_of.senders is null", "true"
    ),
    "an attempt without a sender may be any's": Break("smsretry.texted_through", "a.sent_by is null or "),
    "customers are locked": Break("smsretry.lock_customers", "for no key update"),
    "customers are locked in one order": Break(
        "smsretry.lock_customers", "order by c.id for", "order by c.id desc for"
    ),
    "the number is locked before its customers": Break(
        "smsretry.lock_customers", "perform smsretry.lock_number(lock_customers.business_id, lock_customers.phone);"
    ),
    "customers of another business are not marked": Break(
        "smsretry.lock_customers", "and (c.business_id = lock_customers.business_id) is true"
    ),
    "all who have the number are marked": Break("smsretry.lock_customers", "c.phone = lock_customers.phone or "),
    "an opt-out cancels what waits": Break(
        "smsretry.set_consent", "where q.customer_id = any (v_ids)\n", "where false\n"
    ),
    "a firmer opt-out outweighs a STOP": Break(
        "smsretry.set_consent",
        "or (smsretry.start_takes_back(c.sms_consent_source::text) and not smsretry.start_takes_back(v_said.source)))",
        ")",
        spare="the number's suppression has the firmer source, too",
    ),
    "an opt-out is kept without a customer, too": Break(
        "smsretry.set_consent", "if v_key is not null and not exists", "if false and not exists"
    ),
    "the latest opt-out counts": Break("smsretry.suppress", "greatest(s.since, excluded.since)", "s.since"),
    "a firm source is not replaced by a STOP": Break(
        "smsretry.suppress",
        "when s.since < excluded.since and not smsretry.start_takes_back(excluded.source) then",
        "when s.since < excluded.since then",
    ),
    "a START lifts only what a START may": Break(
        "smsretry.lift",
        "(s.since < lift.before or s.since > lift.and_after)\n      and (not lift.by_start or "
        "smsretry.start_takes_back(s.source))",
        "(s.since < lift.before or s.since > lift.and_after)",
    ),
    "an opt-in lifts nothing later": Break(
        "smsretry.lift",
        "s.number_key = lift.number_key and (s.since < lift.before or s.since > lift.and_after)",
        "s.number_key = lift.number_key",
    ),
    "an opt-out that moves the number holds for the old one": Break(
        "smsretry.keep_suppression",
        "if v_changed and v_moved and new.sms_consent_status::text = 'opted_out' and old.phone is not null then",
        "if false then",
    ),
    "a row saved unchanged lifts nothing": Break(
        "smsretry.keep_suppression", "v_anew := tg_op = 'INSERT' or v_changed\n", "v_anew := true or v_changed\n"
    ),
    "a date to come lifts nothing": Break(
        "smsretry.keep_suppression", "new.sms_consent_at <= v_now + smsretry.fast_clock() and"
    ),
    "a stale date lifts nothing": Break(
        "smsretry.keep_suppression",
        "o.number_key = v_key and o.at in (v_second, v_second - interval '1 second')",
        "false",
    ),
    "a firm opt-out withstands a START": Break(
        "smsretry.give_back_consent", "not smsretry.start_takes_back(o.source, give_back_consent.by_yes) or"
    ),
    "a STOP that came later withstands a START": Break(
        "smsretry.give_back_consent", " or o.since >= give_back_consent.at"
    ),
    "a STOP to another sender withstands a START": Break(
        "smsretry.give_back_consent", "if give_back_consent.senders is not null and", "if false and"
    ),
    "a refusal is shared by the sender's businesses": Break(
        "smsretry.share_opt_out", "if v_shares.id <> share_opt_out.business_id then", "if false then"
    ),
    "a later yes outlives an imported opt-out": Break(
        "smsretry.judge_opt_outs", "case when f.consenting > 0", "case when false"
    ),
}
