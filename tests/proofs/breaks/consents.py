"""Of consent, opt-outs and opt-ins."""

from typing import Final

from tests.proofs.breaks.one_line import Break

CONSENT: Final = {
    # what came in
    "the provider's word outranks the text's": Break("public.record_inbound_sms", "v_type in ('STOP', 'START')", "v_type in ('START')"),
    "words that may mean stop are one": Break("public.record_inbound_sms", "v_means is not null then 'STOP'", "v_means = 'keyword' then 'STOP'"),
    "a text taken for HELP says no START": Break("public.record_inbound_sms", "when v_type = '' and v_word", "when v_word"),
    "each text is recorded once": Break("public.record_inbound_sms", "v_again := not found;", "v_again := false;"),
    "a repeated text counts from when it was heard": Break(
        "public.record_inbound_sms", "select t.said, t.heard_at, t.heard", "select t.said, v_heard_at, t.heard"
    ),
    "a START of an unknown sender takes nothing back": Break("public.record_inbound_sms", "when v_by.lifts then 'opted_in'", "when true then 'opted_in'"),
    "a YES takes back less than a START": Break("public.record_inbound_sms", "coalesce(v_heard = 'yes', false)", "false"),
    "a STOP holds at those who texted, too": Break(
        "public.record_inbound_sms", "v_heard_at, null, v_again, true, v_by.senders", "v_heard_at, null, v_again, false, v_by.senders"
    ),
    # at every business
    "a repeated STOP marks only who was left": Break("smsretry.opt_out", "continue when opt_out.left_only", "continue when false"),
    "a lock at one business keeps no other from opting out": Break("smsretry.opt_out", "exception when others then", "exception when no_data_found then"),
    "an opt-out that cannot be written is kept": Break("smsretry.opt_out", "perform smsretry.keep_unwritten(v_key, v_business, 'opted_out', opt_out.at, opt_out.source);"),
    "all businesses are waited for together": Break(
        "smsretry.opt_out", "greatest(ceil(extract(epoch from v_until - clock_timestamp()) * 1000), 20)", "1000"
    ),
    "an opt-out at one business is not everybody's": Break("smsretry.opt_out", "opt_out.business_id is null or b.id = opt_out.business_id", "true"),
    "businesses opt out in one order": Break("smsretry.opt_out", "        order by b.id\n"),
    "who hears a STOP by its sender is asked": Break("smsretry.opt_out", "case when not opt_out.left_only then opt_out.senders end", "null"),
    "which senders heard a STOP is kept": Break("smsretry.opt_out", "perform smsretry.keep_stop(v_key, opt_out.senders, opt_out.at);"),
    "businesses that only texted the number hear its STOP": Break("smsretry.businesses_of", "businesses_of.texted and exists", "false and exists"),
    "businesses that texted from the sender hear its STOP": Break(
        "smsretry.businesses_of", "or smsretry.texted_through(known.id, businesses_of.phone, businesses_of.senders)", ""
    ),
    "other senders' businesses do not hear a STOP": Break("smsretry.businesses_of", "businesses_of.senders is null", "true"),
    "an attempt without a sender may be any's": Break("smsretry.texted_through", "a.sent_by is null or "),
    # at one business
    "customers are locked": Break("smsretry.lock_customers", "for no key update"),
    "customers are locked in one order": Break("smsretry.lock_customers", "order by c.id for", "order by c.id desc for"),
    "the number is locked before its customers": Break(
        "smsretry.lock_customers", "perform smsretry.lock_number(lock_customers.business_id, lock_customers.phone);", ""
    ),
    "customers of another business are not marked": Break("smsretry.lock_customers", "and (c.business_id = lock_customers.business_id) is true"),
    "all who have the number are marked": Break("smsretry.lock_customers", "c.phone = lock_customers.phone or "),
    "an opt-out cancels what waits": Break("smsretry.set_consent", "where q.customer_id = any (v_ids)\n", "where false\n"),
    "an opt-out leaves a text in doubt alone": Break("smsretry.set_consent", "q.status = 'pending' and q.in_doubt_since is null", "q.status = 'pending'"),
    "a locked text keeps nobody from opting out": Break(
        "smsretry.set_consent", "exception when lock_not_available or deadlock_detected then", "exception when no_data_found then"
    ),
    "a repeated opt-out keeps the first record": Break("smsretry.set_consent", "c.sms_consent_status is distinct from 'opted_out'\n", "true\n"),
    "a firmer opt-out outweighs a STOP": Break(
        "smsretry.set_consent", "or (smsretry.start_takes_back(c.sms_consent_source::text) and not smsretry.start_takes_back(v_said.source)))", ")"
    ),
    "an opt-out is kept without a customer, too": Break("smsretry.set_consent", "if v_key is not null and not exists", "if false and not exists"),
    "what could not be written is written first": Break(
        "smsretry.set_consent", "from smsretry.take_unwritten(v_key, set_consent.at) t\n        union all", "from smsretry.take_unwritten(null, null) t\n        union all"
    ),
    "a person's yes lifts what was not written": Break("smsretry.set_consent", "perform smsretry.take_unwritten(v_key, set_consent.at);"),
    "a person's yes outweighs dates to come": Break("smsretry.set_consent", "set_consent.at, false, smsretry.clock());", "set_consent.at, false);"),
    # suppressions
    "the latest opt-out counts": Break("smsretry.suppress", "greatest(s.since, excluded.since)", "s.since"),
    "a firm source is not replaced by a STOP": Break(
        "smsretry.suppress", "when s.since < excluded.since and not smsretry.start_takes_back(excluded.source) then", "when s.since < excluded.since then"
    ),
    "a locked number is kept aside": Break("smsretry.suppress", "exception when lock_not_available or deadlock_detected then", "exception when no_data_found then"),
    "a START lifts only what a START may": Break(
        "smsretry.lift", "(s.since < lift.before or s.since > lift.and_after)\n      and (not lift.by_start or smsretry.start_takes_back(s.source))",
        "(s.since < lift.before or s.since > lift.and_after)",
    ),
    "a START lifts only what a START may of the unwritten": Break("smsretry.lift", "\n      and (not lift.by_start or smsretry.start_takes_back(u.source))"),
    "an opt-in lifts nothing later": Break("smsretry.lift", "s.number_key = lift.number_key and (s.since < lift.before or s.since > lift.and_after)", "s.number_key = lift.number_key"),
    "an opt-in of the same moment lifts nothing": Break("smsretry.lift", "(s.since < lift.before or", "(s.since <= lift.before or"),
    "an opt-in lifts nothing later of the unwritten": Break("smsretry.lift", "and u.consent = 'opted_out' and (u.since < lift.before or u.since > lift.and_after)", "and u.consent = 'opted_out'"),
    # the application's own writes
    "an opt-out that moves the number holds for the old one": Break(
        "smsretry.keep_suppression", "if v_changed and v_moved and new.sms_consent_status::text = 'opted_out' and old.phone is not null then", "if false then"
    ),
    "an opt-out without a date is of now": Break(
        "smsretry.keep_suppression", "if v_changed and old.sms_consent_at is not distinct from new.sms_consent_at then", "if false then"
    ),
    "a number that moves keeps its stale dates": Break("smsretry.keep_suppression", "if v_moved and old.phone is not null then", "if false then"),
    "a row saved unchanged lifts nothing": Break("smsretry.keep_suppression", "v_anew := tg_op = 'INSERT' or v_changed\n", "v_anew := true or v_changed\n"),
    "a row that is opted out and moves marks its new number": Break("smsretry.keep_suppression", "if v_anew or v_moved\n", "if v_anew\n"),
    "a date to come lifts nothing": Break("smsretry.keep_suppression", "new.sms_consent_at <= v_now + smsretry.fast_clock() and"),
    "a fast clock lifts nothing that comes later": Break("smsretry.keep_suppression", "least(new.sms_consent_at, v_now)", "new.sms_consent_at"),
    "a stale date lifts nothing": Break("smsretry.keep_suppression", "o.number_key = v_key and o.at in (v_second, v_second - interval '1 second')", "false"),
    "a rounded stale date lifts nothing": Break("smsretry.keep_suppression", "(v_second, v_second - interval '1 second')", "(v_second)"),
    "a date to come is stale for ever": Break("smsretry.keep_suppression", "if new.sms_consent_at > v_now or v_moved", "if v_moved"),
    "a consent that ends is stale": Break("smsretry.keep_suppression", "and old.sms_consent_at >= v_since then", "and false then"),
    "an opt-in for another number lifts nothing here": Break(
        "smsretry.keep_suppression", "or v_moved and not v_anew and smsretry.suppressed_since(v_key) < new.sms_consent_at then", "then"
    ),
    "what consent was is kept for a START": Break("smsretry.keep_suppression", "insert into smsretry.stopped_consents (customer_id, number_key, consent)\n        values (new.id, v_key, old.sms_consent_status::text)", "insert into smsretry.stopped_consents (customer_id, number_key, consent)\n        select new.id, v_key, 'unknown' where false"),
    "consent that changed otherwise is not given back": Break("smsretry.keep_suppression", "delete from smsretry.stopped_consents t where t.customer_id = new.id;"),
    "a customer's row is never refused": Break("smsretry.keep_suppression", "exception when others then", "exception when no_data_found then"),
    # START
    "a firm opt-out withstands a START": Break("smsretry.give_back_consent", "not smsretry.start_takes_back(o.source, give_back_consent.by_yes) or"),
    "a STOP that came later withstands a START": Break("smsretry.give_back_consent", " or o.since >= give_back_consent.at"),
    "a STOP to another sender withstands a START": Break("smsretry.give_back_consent", "if give_back_consent.senders is not null and", "if false and"),
    "without an entry a START makes consent unknown": Break("smsretry.give_back_consent", "else 'unknown' end", "else 'opted_in' end"),
    "a START gives back only what was opted out": Break("smsretry.give_back_consent", "where c.id = x.id and c.sms_consent_status::text = 'opted_out'", "where c.id = x.id"),
    "what consent was is the same number's": Break("smsretry.give_back_consent", " and t.number_key = give_back_consent.number_key"),
    "a YES leaves a stop in words": Break("smsretry.give_back_consent", "where not give_back_consent.by_yes and h.number_key", "where h.number_key"),
    "a START reaches only its sender's businesses": Break("smsretry.take_back_stop", "take_back_stop.senders is null or smsretry.sends_through", "true or smsretry.sends_through"),
    "a START that cannot be written is kept": Break("smsretry.take_back_stop", "exception when others then", "exception when no_data_found then"),
    "a sender that a business has left keeps its STOP": Break("smsretry.stopped_elsewhere", "smsretry.sends_through(stopped_elsewhere.business_id, h.senders)\n               or"),
    "the environment's sender speaks for no one business": Break("smsretry.stopped_elsewhere", "or '' = any (stopped_elsewhere.senders)"),
    "a sender of several speaks for no one business": Break("smsretry.stopped_elsewhere", "and b.business_id <> stopped_elsewhere.business_id", "and false"),
    "a letter withstands a START": Break("smsretry.start_lifts", "^(inbound_stop|provider_refusal|twilio_[0-9]+)$", "^(inbound_stop|provider_refusal|twilio_[0-9]+|letter)$"),
    "a YES takes back no words": Break("smsretry.start_takes_back", " and not start_takes_back.by_yes"),
    # the provider's refusal
    "a refusal opts out everyone with the number": Break("smsretry.mark_customer", "if mark_customer.opted_out then", "if false then"),
    "a refusal is shared by the sender's businesses": Break("smsretry.share_opt_out", "if v_shares.id <> share_opt_out.business_id then", "if false then"),
    "a refusal is not its own business's twice": Break("smsretry.share_opt_out", "if v_shares.id <> share_opt_out.business_id then", "if true then"),
    "a mark that is refused undoes no outcome": Break("smsretry.mark_customer", "when others then", "when no_data_found then"),
    "a mark that is locked is made again": Break("smsretry.mark_customer", "when deadlock_detected or lock_not_available or serialization_failure then\n        raise;", "when deadlock_detected or lock_not_available or serialization_failure then\n        null;"),
    # who heard it
    "an unknown sender's START does not lift": Break("smsretry.heard_by", "lifts := v_known.named is not null\n", "lifts := true\n"),
    "an account with several senders does not lift": Break("smsretry.heard_by", "or v_known.in_account = 1 and", "or v_known.in_account >= 1 and"),
    "another account's number is not ours": Break("smsretry.heard_by", "k.named and coalesce(lower(k.account) = v_account, true)", "k.named"),
    "a sender of ours in another account is not known": Break("smsretry.heard_by", "(v_known.known or not exists", "(not exists"),
    "before a run told its sender nobody knows it": Break("smsretry.heard_by", " or not exists (select from smsretry.default_senders)"),
    # imports
    "a later yes outlives an imported opt-out": Break("smsretry.judge_opt_outs", "case when f.consenting > 0", "case when false"),
    "an imported opt-out that holds already is known": Break("smsretry.judge_opt_outs", "f.consenting = 0 and f.opted_out_since is not null", "false"),
    "an imported date to come is of the import": Break("smsretry.judge_opt_outs", "w.at <= judge_opt_outs.as_of then", "true then"),
    "a yes for another number outlives nothing": Break("smsretry.later_opt_in", "x.customer_id = c.id and x.what = 'number'", "false and x.what = 'number'"),
    "a yes to come outlives nothing": Break("smsretry.later_opt_in", " and c.sms_consent_at <= smsretry.clock() + smsretry.fast_clock()"),
    "a stale yes outlives nothing": Break("smsretry.later_opt_in", "o.number_key = later_opt_in.number_key\n", "false\n"),
    "who said yes during an import stays": Break("smsretry.import_at_business", "if v_said.customer_id is not null then", "if false then"),
    "an import that is locked is kept": Break("smsretry.import_at_business", "perform smsretry.keep_unwritten(v_said.number_key, business_id, 'opted_out', v_said.at, source);"),
    "a dry import writes nothing": Break("smsretry.import_at_business", "if dry_run then", "if false then"),
}  # fmt: skip
