-- Whether a sender is the runners' environments': no business has it as its own, or a runner has told it lately, compared with
-- the others'. One that the environment had before may be a business's own by now, and speaks for that one alone.
create or replace function smsretry.is_environments(sent_by text)
returns boolean language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    return not exists (select from smsretry.senders s where s.sent_by = is_environments.sent_by)
        or exists (select from smsretry.default_senders d
                   where d.sent_by = is_environments.sent_by
                     and d.seen_at > (select max(o.seen_at) from smsretry.default_senders o) - interval '1 day');
end
$$;
