-- What is wrong with the ids of a sender; null: nothing. Here is the shape of Twilio's SIDs. A value is never quoted: it may
-- be somebody's number.
create or replace function smsretry.sender_problem(account text, sent_by text)
returns text language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
    k_kinds constant jsonb := '{"AC": "an account", "MG": "a messaging service", "PN": "a number''s entry", "SK": "an API key",
        "SM": "a message", "MM": "a message", "VA": "a verification service", "BN": "a brand", "CM": "a campaign"}';
    k_sid constant text := '^[A-Z]{2}[0-9a-f]{32}$';
    v_account constant text := case when sender_problem.account ~ k_sid then left(sender_problem.account, 2) end;
    v_sender constant text := case when sender_problem.sent_by ~ k_sid then left(sender_problem.sent_by, 2) end;
begin
    if v_account is distinct from 'AC' then
        return 'account must be an account''s SID: AC and 32 hexadecimal digits, in lower case'
            || coalesce('. This is the SID of ' || (k_kinds ->> v_account), '');
    end if;
    if v_sender is distinct from 'MG' and (sender_problem.sent_by ~ '^[+][1-9][0-9]{6,14}$') is not true then
        return 'sent_by must be a messaging service''s SID (MG and 32 hexadecimal digits, in lower case) or a number in E.164 (+12125550100)'
            || coalesce('. This is the SID of ' || (k_kinds ->> v_sender), '');
    end if;
    return null;
end
$$;
