-- Say whether an incoming text means stop. Consent is revoked "in any reasonable manner" (47 CFR
-- 64.1200(a)(10)).
--   keyword: it holds only words that say stop, and courtesies, in whatever case, accents and
--     punctuation. It opts out
--   unsure: it is one letter from such a word, refuses, complains or concerns somebody else. A
--     person says what it means
--   null: neither, or a phone's reaction, which quotes us
-- The words are those of smsretry/data/stop_words.tsv; says and alone include Twilio's default
-- keywords and those of 47 CFR 64.1200(a)(10)(i). Only the first 1,600 characters count (Twilio's API
-- reference, Body). No locale or collation decides, so that each database hears the same.
create or replace function smsretry.means_stop(body text)
returns text language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
    k_reaction constant text := '^[^a-z]*(loved|liked|disliked|laughed at|emphasi[sz]ed|questioned|reacted [^ ]{1,12} to'
        '|removed an? .{1,30} from|(no )?le (gust|encant)[^ ]+|se ri[^ ]+ de|(n[’''])?a (pas'
        ' )?(aim|ador)[^ ]+|[^a-z]{1,12} to)'
        ' ["“„«].*["”“»][^a-z]*$';
    k_laughs constant text := '[?¿？😀-😝🤣🤪🥰❤♥]';
    k_unseen constant text := -- invisible characters, which part nothing
        '[\u00ad\u034f\u061c\u115f\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\U000e0000-\U000e0fff]';
    k_courtesy constant text := smsretry.any_word(smsretry.stop_words('courtesy'));
    k_greeting constant text := smsretry.any_word(smsretry.stop_words('greeting'));
    k_says constant text := smsretry.any_word(smsretry.stop_words('says'));
    k_alone constant text := smsretry.any_word(smsretry.stop_words('alone'));
    k_alone_or_whole constant text := smsretry.any_word(
        smsretry.stop_words('alone') || ' ' || smsretry.stop_words('whole')
    );
    k_object constant text := smsretry.any_word(smsretry.stop_words('object'));
    k_object_or_while constant text := smsretry.any_word(
        smsretry.stop_words('object') || ' ' || smsretry.stop_words('while')
    );
    k_texts constant text := smsretry.any_word(smsretry.stop_words('texts'));
    k_not_this constant text := smsretry.any_word(smsretry.stop_words('not_this'));
    k_phrases constant text := smsretry.any_word(smsretry.stop_words('phrases'));
    k_not constant text := smsretry.any_word(smsretry.stop_words('not'));
    k_begins constant text := smsretry.any_word(smsretry.stop_words('begins'));
    k_near constant text[] := string_to_array(smsretry.stop_words('near'), ' ');
    k_ordinary constant text := smsretry.any_word(smsretry.stop_words('ordinary'));
    v_body text := left(means_stop.body, 1600);
    v_words text;
    v_bare text;
    v_near text;
begin
    if lower(v_body collate "C") ~ k_reaction then
        return null;
    end if;
    -- Full-width, circled and mathematical letters become ordinary ones, and accents come off.
    v_words := regexp_replace(v_body collate "C", k_unseen, '', 'g');
    v_words := regexp_replace(replace(v_words, '🛑', ' stop '), '[🚫⛔🖕]', ' no more . ', 'g');
    v_words := normalize(replace(v_words, '#', ' number '), nfkd);
    v_words := lower(regexp_replace(v_words collate "C", '[\u0300-\u036f\u20d0-\u20ff]', '', 'g') collate "C");
    -- Letters of other scripts that look like Latin ones (Unicode, confusables.txt), and signs in a word.
    v_words := translate(
        v_words,
        'аАαΑᴀвВβΒʙсСϲϹᴄԁԀᴅеЕεΕᴇһҺнНΗʜіІιΙɪıјЈᴊкКκΚᴋӏӀʟмМ'
        'μΜᴍνΝηɴоОοΟσᴏрРρΡᴘԛԚʀѕЅꜱтТτΤᴛυᴜѵᴠԝԜᴡхХχΧуУүҮΥʏζΖᴢ',
        'aaaaabbbbbcccccdddeeeeehhhhhhiiiiiijjjkkkkklllmm'
        'mmmnnnnoooooopppppqqrssstttttuuvvwwwxxxxyyyyyyzzz'
    );
    v_words := translate(v_words, '🅰🅱🅲🅳🅴🅵🅶🅷🅸🅹🅺🅻🅼🅽🅾🅿🆀🆁🆂🆃🆄🆅🆆🆇🆈🆉', 'abcdefghijklmnopqrstuvwxyz');
    v_words := regexp_replace(v_words, '\$(?=[a-z])', 's', 'g');
    v_words := regexp_replace(v_words, '(?<=[a-z])!(?=[a-z])', 'i', 'g');
    if v_words ~ '[a-z]\d|\d[a-z]' then
        select string_agg(case when t.latin = any (k_near) then t.latin else t.word end, '' order by t.n)
        into v_words
        from (
            select m.word[1] as word, translate(m.word[1], '013457', 'oieast') as latin, m.n
            from regexp_matches(v_words, '[a-z0-9]+|[^a-z0-9]+', 'g') with ordinality m (word, n)
        ) t;
    end if;
    -- The next expression takes the cube of a word's length.
    v_words := regexp_replace(v_words, '([a-z]{40})[a-z]+', '\1', 'g');
    v_words := regexp_replace(v_words, '([a-z])\1{2,}', '\1', 'g'); -- "stoppp"
    v_words := regexp_replace(v_words, '\ms[ .-]+t[ .-]+o[ .-]+p\M', 'stop', 'g');
    v_words := regexp_replace(v_words, '(?<=[a-z])0|0(?=[a-z])', 'o', 'g'); -- "st0p"
    v_words := regexp_replace(
        v_words, '\m(do?|did|does|is|was|are|wo|ca|have|has|would|could)no?[^a-z0-9.,!?]?t\M', '\1 not', 'g');
    v_bare := btrim(regexp_replace(v_words, '[^a-z0-9]+', ' ', 'g')) || ' ';
    v_bare := regexp_replace(v_bare, k_courtesy || ' ', '', 'g');
    if v_body !~ k_laughs and (
        v_bare ~ format('^((%s|%s) )+$', k_says, k_alone)
        or v_bare ~ format('^(%s )*%s ((%s|%s) )*$', k_greeting, k_says, k_says, k_object)) then
        return 'keyword';
    end if;
    v_words := regexp_replace(v_words, '[^a-z0-9.,!?;:]+', ' ', 'g');
    v_words := btrim(regexp_replace(v_words, ' *[.,!?;:]+ *', ' . ', 'g'), ' .');
    v_words := regexp_replace(v_words, k_texts, 'T', 'g');
    v_words := regexp_replace(v_words, k_not_this, '-', 'g');
    v_words := regexp_replace(v_words, k_courtesy, 'C', 'g');
    -- One letter is missing, too many or another one, or two have changed places. PostgreSQL keeps
    -- 32 compiled regular expressions, and this function has nearly as many.
    select string_agg(
        l || '[a-z]?' || substr(w, i + 1)
            || '|' || l || substr(w, i, 1) || '[a-z]' || substr(w, i + 1)
            || '|' || l || substr(w, i + 1, 1) || substr(w, i, 1) || substr(w, i + 2),
        '|') into v_near
    from unnest(k_near) w
    cross join generate_series(1, length(w)) i
    cross join left(w, i - 1) l;
    if v_words ~ replace(k_phrases, 'N', k_not)
        or v_words ~ rtrim(k_begins, '\M')
        or v_bare ~ format('^(%s )*%s (%s )*$', k_greeting, k_alone_or_whole, k_object_or_while)
        or v_words || ' . ' || replace(v_bare, ' ', '') ~ ('(^|[.C] )' || smsretry.any_word(
            '(' || v_near || ')(?=_((me|us|this|these|the|my|all)_)*T|_(me|it)\M|(?<!'
            || k_ordinary || ')E)'))
        -- one word that is made of known words alone: "stopplease"
        or v_bare ~ format(
            '^(%1$s|%2$s)*(%1$s)(%1$s|%2$s)* $',
            replace(smsretry.stop_words('stops'), ' ', '|'),
            replace(smsretry.stop_words('joins'), ' ', '|')
        )
        or v_body ~ replace(smsretry.stop_words('elsewhere'), ' ', '|') then
        return 'unsure';
    end if;
    return null;
end
$$;
