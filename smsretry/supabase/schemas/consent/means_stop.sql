-- Whether an incoming text says stop. "Any reasonable means" revokes consent (47 CFR 64.1200(a)(10)). When in doubt, opt out.
--   keyword: nothing but words of stop, whatever case, accents, punctuation and emoji ("stop, cancel!", "stoppp")
--   words: it may mean stop: a keyword beside courtesies, or a phrase of smsretry.words_of_stop anywhere
--   null: neither, such as "cancel" in another sentence, "stop by at 5?" and "don't stop, I love these"
-- A phone's reaction to our text ("Liked “…Reply STOP to opt out”") quotes us and says nothing.
create or replace function smsretry.means_stop(body text)
returns text language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
    v_reaction constant text := '^[^a-z]*(loved|liked|disliked|laughed at|emphasi[sz]ed|questioned|reacted [^ ]{1,12} to|removed an? .{1,30} from|(no )?le (gust|encant)[^ ]+|se ri[^ ]+ de|(n’)?a (pas )?(aim|ador)[^ ]+|[^a-z]{1,12} to) ["“„«].*["”“»][^a-z]*$';
    v_list record;
    v_plain text;
    v_words text[];
    v_pattern text;
    v_means text;
begin
    if lower(left(means_stop.body, smsretry.longest_body()) collate "C") ~ v_reaction then
        return null;
    end if;
    select array_agg(replace(x.word, ' ', '')) filter (where w.kind = 'keyword') as keywords,
           array_agg(x.word) filter (where w.kind = 'courtesy') as courtesies,
           array_agg(x.word) filter (where w.kind = 'even_so') as even_so,
           array_agg(x.word) filter (where w.kind = 'not_this') as not_this,
           array_agg(x.word) filter (where w.kind = 'words') as words into v_list
    from smsretry.words_of_stop() w cross join unnest(w.words) x (word);
    for v_plain in
        select distinct p.plain
        from (values (smsretry.plain_words(means_stop.body)), (smsretry.plain_words(means_stop.body, ' ')),
                     (smsretry.plain_words(replace(means_stop.body, '🛑', ' ')))) p (plain) -- it may stand beside a word
        where p.plain <> ''
    loop
        v_words := string_to_array(v_plain, ' ');
        if v_words <@ v_list.keywords or replace(v_plain, ' ', '') = any (v_list.keywords)
            or length(v_plain) <= 60 and regexp_replace(replace(v_plain, ' ', ''), '(.)\1+', '\1', 'g') in (
                select regexp_replace(k.word, '(.)\1+', '\1', 'g') from unnest(v_list.keywords) k (word)) then
            return 'keyword';
        end if;
        if v_words <@ (v_list.keywords || v_list.courtesies) and v_words && v_list.keywords
            or v_plain collate "C" ~ any (v_list.even_so) then
            v_means := 'words';
        end if;
        foreach v_pattern in array v_list.not_this loop
            v_plain := regexp_replace(v_plain collate "C", v_pattern, '-', 'g');
        end loop;
        if v_plain collate "C" ~ any (v_list.words) then
            v_means := 'words';
        end if;
    end loop;
    return v_means;
end
$$;
