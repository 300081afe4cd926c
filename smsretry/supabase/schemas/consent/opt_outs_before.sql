-- What rows say that were there before smsretry was.
select smsretry.keep_rows();
