-- Say whether a word for texts takes back an earlier one against them: the one rule of consent. An
-- opt-in lifts an opt-out if its date is later, or if it has none because it was said to us. It
-- answers unread words if it was said to us, and so does a person who has read them. A START lifts
-- what a START may, at a sender that received both.
create or replace function smsretry.answers(answer smsretry.consents, word smsretry.consents)
returns boolean
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    return (
        answer.dated is null
        or word.said = 'opted_out' and least(answer.dated, answer.at) > word.dated
    )
        and case
            when answer.source in ('inbound_start', 'inbound_yes')
                then smsretry.start_takes_back(word.source, answer.source = 'inbound_yes')
                    and (word.senders && answer.senders) is not false
            else answer.said = 'opted_in' or word.said = 'unsure'
        end;
end
$$;
