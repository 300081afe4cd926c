-- Whether an incoming text says stop. Consent is revoked "in any reasonable manner" (47 CFR 64.1200(a)(10)).
--   keyword: nothing but words that say so and courtesies, in whatever case, accents and punctuation. It opts out
--   unsure: it is one letter from such a word, refuses, complains or concerns somebody else. A person says what it means
--   null: neither, or a phone's reaction, which quotes us
-- Twilio's default keywords and the words of 47 CFR 64.1200(a)(10)(i) are among k_says and k_alone. Only the first 1,600 characters
-- count (Twilio's API reference, Body). No locale or collation decides, so that each database hears the same.
create or replace function smsretry.means_stop(body text)
returns text language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
declare
    k_reaction constant text := '^[^a-z]*(loved|liked|disliked|laughed at|emphasi[sz]ed|questioned|reacted [^ ]{1,12} to'
        '|removed an? .{1,30} from|(no )?le (gust|encant)[^ ]+|se ri[^ ]+ de|(n[’''])?a (pas )?(aim|ador)[^ ]+|[^a-z]{1,12} to)'
        ' ["“„«].*["”“»][^a-z]*$';
    k_laughs constant text := '[?¿？😀-😍😘😜😝😊🤣🤪🥰❤♥]';
    k_unseen constant text := -- invisible characters, which part nothing
        '[\u00ad\u034f\u061c\u115f\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\U000e0000-\U000e0fff]';
    -- From here on regular expressions for small letters without accents. In a list a blank parts words, and _ is a blank.
    k_courtesy constant text :=
        'please pls plz kindly thanks thank_?you thank_u thx ty tysm por_favor favor gracias svp s_il_vous_plait s_v_p merci'
        ' bitte danke dank_je obrigad[oa] grazie';
    k_greeting constant text := 'ok hi hello hey ya i_want_to i_would_like_to';
    k_says constant text := -- with a greeting before it and objects after it
        'stop stop_now stop_?all un_?subscribe unsub opt_?out opt_me_out cease desist'
        ' (stop|quit)_(send|text|txt|messag|contact|bother|spamm|harass)ing no_more_(texts|messages|reminders)'
        ' do_not_(text|txt|message|contact)_(me|us) take_me_off_(your|the|this)_list'
        ' (remove|delete)_(me|(my|this)_number)(_from_(your|the|this)_list)? no_mas_(mensajes|textos)'
        ' (dar|dame|denme|darme)_de_baja no_me_(escriban?|manden?|envien?)(_mas)?(_mensajes)? arret[et]? arrete[rz]'
        ' (me_)?desabonne[rz](_moi)? plus_de_(sms|messages) ne_m_(envoyez|ecrivez)_plus(_de_(sms|messages))?';
    k_alone constant text := -- with nothing else
        'end quit cancel revoke remove td alto baja basta para pare paren parar detener no_mas desinscrire';
    k_object constant text :=
        'me us it all already again any_?more the these this my texts? messages? sms reminders number';
    -- What may mean it, where T is a text or texting, C a courtesy, N a negation, and a point parts sentences.
    k_texts constant text :=
        'te?xt\w* txt\w* sms mess(age|agi)\w* msgs? notif\w* remind\w* alerts? communic\w* promo\w* ads? advert\w* market\w*'
        ' contact\w* send\w* mensa\w* nachricht\w* recordat\w* publici\w* avisos? envi\w* mand(e|en|ar|arme|ando) escrib\w*'
        ' envo\w* ecri\w* pubs? rappel\w* werbung schreib\w*';
    k_not constant text := 'no not never rather without nunca ni sin sem nao ne pas plus aucun jamais kein\w* nicht';
    k_not_this constant text := -- what shall not stop or does not, stops on a way, a text that did not come
        '(?<!\m(you|u|they|these|those|T)(_\w+)?_)(not|never)(_(mean|want|ask|say|said|to|be))*'
        '_(stop\w*|unsub\w*|opt_out|cancel\w*|remov\w*|delet\w*|quit|(take|get)_(me|us|it)_off)'
        ' (bus|last|next|first|one|more|a|which|what|metro|train|non)_?stop(_first)? consent_forms? did(_\w+){1,2}_stop'
        ' (stop|quit)(ping)?_(work|smok|eat|tak|us|worry)ing stop(ping)?_(by|in|over|at(?!_once)|for(?!_good)|signs?|to_(get|pick|see))'
        ' (not|never)_(get|got|rec\w+|saw|seen?)(_\w+){0,2}_T no_(me_llego|recibi)(_\w+){0,2}_T pas_recu(_\w+){0,2}_T';
    k_begins constant text := -- whatever follows
        'unsub unsus un_sub subscri suscri ceas desist terminat discontin suspend deactivat un_?(enrol|list) deregist scrub revo[ck] rescind withdr consent'
        ' permis unauth spam harass bother annoy scam fcc ftc tcpa illegal unwanted unsolicited intrusive complaint lawyer attorney suing fuck refrain uninterested deceas land_?line'
        ' borr elimin cancelen quitar quiten quit[ea]me saqu remuev desactiv desus bloque denunci fastidi molest perturb equivoc descadastr deten acoso autori'
        ' suppri effac enlev retir lach tromp harcel derang signal bloqu degag refus oppos insist desab desin resili cesse'
        ' arretez arreter arrete_d arrete_l abmeld falsch losch abbestell aufhor austrag';
    k_phrases constant text :=
        -- stopping and leaving
        'stop stop(ping|per|\d\w*) \w+stop stahp halt purge pause quit optout opt(ed|ing)?(_\w+){0,3}_ou[ty]'
        ' (want|like|take|took|taken|get|let|off)(_(me|us|my|name|number|this|to|be|taken|it|of|your|the))*_(off|out|lists?)'
        ' (cancel(l?ing|a|ar|en|o)?|(?<!the_)end|annul\w*|anul\w*|turn\w*|shut|disable|block|skip)(_\w+){0,3}'
        '_(T|all|these|those|this|it|everything|account|member\w*|service|esto|sus\w*|inscri\w*|abonn\w*)'
        ' (remov\w*|delet\w*|eras\w*|forget|drop|scratch|mute|lose|block)(_\w+){0,2}'
        '_(me|us|this|lists?|name|num\w*|info\w*|data|T) (da|la|der)_list[ae] (be|number)_removed remove_my do_not_call dnc'
        ' (gave|give|got|get|have|owner)(_\w+){0,3}_(my|this)_num\w* (his|her|mi|este|mon|ce|meine|wrong)(_phone)?_nu\w+ work_(number|phone) wrong_(person|guy|girl|phone|no)'
        -- not wanted
        ' N(_\w+){0,5}_(T|bug|disturb|solicit\w*|rec[ie][bv]\w*) no_?more want_no will(_das)?_(nicht|kein\w*)'
        ' N(_\w+){0,2}_(wan(t|na)\w*|wish|hear\w*_from|llame\w*|interes\w*|quiero|deseo|que[rn]\w*|mochte) (no|non|nein|nao)(_\.)?_C not_(ask|reply|review) changed_(hands|owners)'
        ' N(_\w+){0,3}_(need|sign\w*|ask\w*|agree\w*|gave|giv\w*|know|care)(_\w+){0,3}_(this|these|up|them|you|your|it)'
        ' never_(been|agreed|asked|heard|again|used) N_opt(ed)?_in not_again done_with count_me_out zero_interest not_need(ed)?$ too_(many|much|often) (you|i|they|u)_keeps?_\w+ no_idea_who not_ever'
        ' (enough|done|fed_up|hate)(_\w+){0,3}_T enough_(already|is|now|C|with) (why|still)(_\w+){0,3}_(T|getting) (tired|sick)_of'
        -- complaining
        ' (to|will)_sue (report|block)\w*_(you|me|this|as|and|to) are_blocked leave(_\w+){1,3}_(alone|be) go_away get_lost'
        ' (piss|buzz|bug|bugger|back|screw|e?ff?)_off shut_up screw_you go_to_hell stfu (last|final)_warning knock_it_off cut_it_out a_rest means_no said_no'
        -- somebody else
        ' (not|longer)(_\w+){0,2}_(number|phone|person|for_me|customer|client|patient|live|belongs?) this_is_not some_?one_else another_company'
        ' passed_away rather_not died is_dead no_?(one|body)(_\w+){0,3}_name\w* there(_is|s)_no_\w+_(at|here) no_account'
        -- Spanish, French and German
        ' basta baja nunca alto_(a|ya) par(a|e|en|em|enle)_(de|ya|con|los) ya_(estuvo|no|me_canse|parenle) dej\w+(_de|_en_paz) ces(a|e|en)'
        ' par(ar|en|e)_T me_(salgo|opongo) no_(necesito|conozco|pedi|soy|vive) hart[ao]s? reportar'
        ' marco_mal numero_(errado|mal|incorrecto) no_es_el_numero horen_sie_auf in_ruhe'
        ' (ne?|en)_(\w+_){1,2}plus tranquil\w* plus_rien nicht_mehr (la|en)_paix marre suffit ras_le_bol assez plainte va_te_faire fini_les'
        ' (mauvais|faux|erreur_de)_\w+ faites_erreur connais_pas (pas|rien|jamais)_(demande|inscri\w*|donne)';
    k_whole constant text := -- and nothing else
        'enough that_?s_enough removed off exit mute (block|report)(ed)? delete unfriend unfollow never hell_no no_quiero salir fuera'
        ' cancelar terminar remover bloqueado fini? annule[rz] erreur ende kundigen sair chega parem ferma annulla'
        ' afmelden koniec dung_lai tigil berhenti sispann';
    k_elsewhere constant text := 'стоп|СТОП|Стоп|отпи|توقف|إلغاء|הסר|עצור|बंद|หยุด|ยกเลิก|停|退订|退訂|取消|ストップ'
        '|やめて|중지|그만|거부';
    k_near constant text := 'stop unsubscribe cancel quit revoke optout remove'; -- and these are not:
    k_ordinary constant text := 'top shop step slop quiet quite suit unit quiz qui remote cancer';
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
    v_words := normalize(replace(replace(replace(v_words, '🛑', ' stop '), '🚫', ' no more '), '#', ' number '), nfkd);
    v_words := lower(regexp_replace(v_words collate "C", '[\u0300-\u036f\u20d0-\u20ff]', '', 'g') collate "C");
    v_words := regexp_replace(v_words, '([a-z])\1{2,}', '\1', 'g'); -- "stoppp"
    v_words := regexp_replace(v_words, '\ms[ .-]+t[ .-]+o[ .-]+p\M', 'stop', 'g');
    v_words := regexp_replace(v_words, '(?<=[a-z])0|0(?=[a-z])', 'o', 'g'); -- "st0p"
    v_words := regexp_replace(
        v_words, '\m(do?|did|does|is|was|are|wo|ca|have|has|would|could)n[^a-z0-9.,!?]?t\M', '\1 not', 'g');
    v_bare := btrim(regexp_replace(v_words, '[^a-z0-9]+', ' ', 'g')) || ' ';
    v_bare := regexp_replace(v_bare, smsretry.any_word(k_courtesy) || ' ', '', 'g');
    if v_body !~ k_laughs and (
        v_bare ~ format('^((%s|%s) )+$', smsretry.any_word(k_says), smsretry.any_word(k_alone))
        or v_bare ~ format('^(%s )*%s ((%s|%s) )*$', smsretry.any_word(k_greeting), smsretry.any_word(k_says),
                           smsretry.any_word(k_says), smsretry.any_word(k_object))) then
        return 'keyword';
    end if;
    v_words := btrim(regexp_replace(regexp_replace(v_words, '[^a-z0-9.,!?;:]+', ' ', 'g'), ' *[.,!?;:]+ *', ' . ', 'g'), ' .');
    v_words := regexp_replace(v_words, smsretry.any_word(k_texts), 'T', 'g');
    v_words := regexp_replace(v_words, smsretry.any_word(k_not_this), '-', 'g');
    v_words := regexp_replace(v_words, smsretry.any_word(k_courtesy), 'C', 'g');
    -- One letter is missing, too many or another one, or two have changed places.
    select string_agg(
        left(w, i - 1) || '[a-z]?' || substr(w, i + 1)
            || '|' || left(w, i) || '[a-z]' || substr(w, i + 1)
            || '|' || left(w, i - 1) || substr(w, i + 1, 1) || substr(w, i, 1) || substr(w, i + 2),
        '|') into v_near
    from string_to_table(k_near, ' ') w
    cross join generate_series(1, length(w)) i;
    if v_words ~ replace(smsretry.any_word(k_phrases), 'N', smsretry.any_word(k_not))
        or v_words ~ format('\m(%s)', translate(k_begins, ' _', '| '))
        or v_bare ~ format('^(%s )+%s $', smsretry.any_word(k_greeting), smsretry.any_word(k_alone))
        or v_bare ~ format('^%s $', smsretry.any_word(k_whole))
        or replace(v_bare, ' ', '') ~ format('^(?!%s$)(%s)(me|us|it|this)?$', smsretry.any_word(k_ordinary), v_near)
        or v_words ~ format('^(%s)( (me|us|this|these|the|my|all))* T', v_near)
        or v_body ~ k_elsewhere then
        return 'unsure';
    end if;
    return null;
end
$$;
