-- Where the application had an sms_retry_queue before: what its own processor was sending. Nobody knows whether those texts
-- went out, so their claims count as sends, and recovery puts them in doubt: as many as are counted, for that processor counted a
-- send when it claimed. The lease begins now: nobody knows when a claim was made. Written by hand. A new database has none.
update public.sms_retry_queue q
set claim_no = q.claim_no + 1, claimed_by_application = true, attempt_count = greatest(q.attempt_count - 1, 0),
    claimed_at = smsretry.clock()
where q.status = 'processing' and q.claimed_at is null;
