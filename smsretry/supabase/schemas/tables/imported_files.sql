-- When each file of opt-outs was first imported (import_sms_opt_outs). Its lines without a date count as of then each time, so
-- that a second import of the same file undoes no opt-in that came after the first.
create table if not exists smsretry.imported_files (
    file_key bytea primary key, -- smsretry.number_key of the business, or of none, and the file's SHA-256
    imported_at timestamptz not null,
    business_id uuid, -- null: for all
    who text not null,
    because text not null,
    constraint imported_files_lengths check (length(who) between 1 and 200 and length(because) between 1 and 500)
);
