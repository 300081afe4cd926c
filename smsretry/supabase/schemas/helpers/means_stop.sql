-- Say whether an incoming text means stop. Consent is revoked "in any reasonable manner" (47 CFR
-- 64.1200(a)(10)).
--   keyword: it holds only words that say stop, and courtesies, in whatever case, accents and
--     punctuation. It opts out
--   unsure: it is one letter from such a word, refuses, complains or concerns somebody else. A
--     person says what it means
--   null: neither, or a phone's reaction, which quotes us
-- k_says and k_alone include Twilio's default keywords and the words of 47 CFR 64.1200(a)(10)(i).
-- Only the first 1,600 characters count (Twilio's API reference, Body). No locale or collation
-- decides, so that each database hears the same.
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
    -- From here on regular expressions for small letters without accents. In a list a blank parts
    -- words, and _ is a blank.
    k_courtesy constant text :=
        'please pleas pls plz kindly thanks? thank_?(you|u) thankyou thx th?nx tks ty tysm por_favor
         favor gracias svp s_il_vous_plait s_v_p merci bitte danke dank_je obrigad[oa] grazie';
    k_greeting constant text :=
        'okay ok hi hello hey ya i_want_to i_would_like_to';
    k_says constant text := -- with a greeting before it and objects after it
        'stop stop_now stop_?all un_?subscribe unsub opt_?out opt_me_out cease desist
         (stop|quit)_(send|text|txt|messag|contact|bother|spamm|harass)ing
         no_more_(texts|messages|reminders) do_not_(text|txt|message|contact)_(me|us)
         take_me_off_(your|the|this)_list
         (remove|delete)_(me|(my|this)_number)(_from_(your|the|this)_list)? no_mas_(mensajes|textos)
         (dar|dame|denme|darme)_de_baja no_me_(escriban?|manden?|envien?)(_mas)?(_mensajes)?
         arret[et]? arrete[rz] (me_)?desabonne[rz](_moi)? plus_de_(sms|messages)
         ne_m_(envoyez|ecrivez)_plus(_de_(sms|messages))?';
    k_alone constant text := -- with nothing else
        'end quit cancel revoke remove td alto baja basta para pare paren parar detener no_mas
         desinscrire';
    k_object constant text :=
        'me us it all now already again any_?more the these this my texts? messages? sms reminders
         number';
    -- What may mean it. T is a text, texting or a subscription, C a courtesy, N a negation, a point
    -- parts sentences, and W and E are smsretry.any_word's.
    k_texts constant text :=
        'te?x[ti]\w* txt\w* sms me?ss?a?g\w* notif\w* remind\w* alerts? communic\w* promo\w* ads?
         advert\w* market\w* (re)?contact\w* sending emails emailing coupons? offers ofertas updates
         blasts? reach\w*_out su\w{0,2}cri\w* inscri\w* abonn\w* mensa\w* nachricht\w* recordat\w*
         publici\w* avisos? envi\w* mand[ea]\w* escrib\w* escrev\w* envo\w* ecri\w* pubs? rappel\w*
         werbung schreib\w*';
    k_not constant text :=
        'no nomore not never rather without nunca ni sin sem nao ne pas plus aucun jamais kein\w*
         nicht';
    -- What shall not stop, or does not; stops on a way; a text that did not come.
    k_not_this constant text :=
        '(?<!\m(you|u|they|these|those|T)(_\w+)?_)(not|never)(_(mean|want|ask|say|said|to|be))*'
        '_(stop\w*|unsub\w*|opt_out|cancel\w*|remov\w*|delet\w*|forget|quit|(take|get)_(me|us|it)_off)'
        '(_me_from)?
         (bus|last|next|first|one|a|which|what|metro|train|non)_?stop (i|the)_consent consent_forms?
         didW_stop (stop|quit)(ping)?_(work|smok|eat|tak|worry)ing (my|your|in)_spam
         stop_the(?!_(madness|crap|nonsense|(\w+_)?T))
         (i|we)(_(can|ll|will|should|must|could|just|have_to|need_to))?_stop(?!_(\w+_)?(T|this|these|get\w*)|E)
         stop(ping)?_(by|in|over|at(?!_once)|for(?!_good)|signs?|lights?|to_(get|pick|see))
         (?<!\mrather_)(not|never)_(get\w*|got|rec\w+|saw|seen?)W_T no_(me_llego|recibi)W_T
         pas_recuW_T';
    k_begins constant text := -- whatever follows
        'unsub unsus un_sub un\w*cri desubscri usub ceas desist terminat discontin suspend deactivat
         unenrol un_enrol disenrol unlist deregist purge scrub eras exclu wipe violat fcc ftc
         privacy unwelcome revoc revok rescind withdr consent permis unauth spam harass bother annoy
         scam tcpa illegal unwanted unsolicited intrusive lawyer attorney lawsuit suing fuc?k fck
         f_ck f_u_c_k refrain uninterested deceas land_?line borr elimin cancelen quitar quiten
         quit[ea]me saqu remuev desactiv desus bloqu denunci molest fastidi perturb signaler
         insistez derang lach equivoc descadastr apagu deten acoso autori suppri effac enlev retirez
         retirer tromp harcel degag refus oppose desab desin resili cesse arretez arreter arrete_d
         abmeld falsch losch abbestell aufhor austrag';
    k_phrases constant text :=
        -- stopping and leaving
        'stop stopper stop\d\w* \w+stop stahp halt pauseW_T (?<!\m[a-z]+_)quit quitW_T to_quit
         optout opt\w*W_ou[ty] NW_opt\w*_in taken_off want_off want_out (off|out|from)W_lists?
         off?_my_phone this_list getting_these rid_of_these these_to_end T_end turn_this_off
         shut_this_off turn_these_off (take|took|get|want|like)_(me|us|my|to_be)W_(off|out)
         this_number_off
         (cancel\w*|(?<!the_)end|annul\w*|anul\w*|turn|shut|disable|skip)(W_(T|these|those|account)|_(it|this|all|everything|service|esto)(?=E))
         (remov\w*|delet\w*|forget|drop|lose|block)W_(T|me|us|this|name|num\w*|info\w*|data|account|profile|details|email|phone|cell)
         da_lista la_lista der_liste to_be_removed wanna_be_removed me_removed number_removed dnc
         (gave|give|got|get|have|owner)W_(my|this)_(num|info|cell)\w*
         (his|her|mi|este|mon|ce|meine|wrong|incorrect|bad|private)(_phone)?_nu\w+ work_phone
         wrong_person wrong_guy wrong_girl wrong_phone wrong_no'
        -- not wanted
        ' NWW_(T|bug|disturb|solicit\w*|recibir|receber|recevoir)
         N_send(?=E|_(me|us|any\w*|more|these|this|to_this)\M)
         no_?more(?=E|_(of|this|these|sales|calls|ok))
         N(_ever)?_(call|ring|phone|email)(_(me|us))?(?=E|_(again|any_?more|ever|or|list|regist|this))
         NW_(wan(t|na)\w*|wish\w*)(?=(_it)?E|(_to)?_(be_on|be_part|get|rec\w+|any\w*|this|these|them|those|more|(yo)?ur)\M)
         NW_(hear\w*_from|llame\w*|mochte)
         NW_(quiero|deseo|quero|queremos)_(nada|mas|mais|esto|que|ser) NW_inte?re?s\w*(?!_in_the)
         (no|non|nein|nao)(_\.)?_C(?=[_C.]*$) not_again not_ever not_ask(?=E|_(me|again))
         not_her_phone not_his_phone not_reply not_review changed_hands changed_owners
         NW_(need|sign\w*|ask\w*|request\w*|agree\w*|gave|giv\w*|authori\w*|care)W_(this|these|them|your?|up(?=E))
         not_know_(you|this|who) never_again never_(been|used|heard)W_your? count_me_out onlyW_email
         email_only mail_only calls_only prefer_calls instead_of_T not_welcome not_include
         T_cancel\w* prefer_email not_(a|my)W_any_?more no_longer_a no_longer_use no_longer_using
         no_longer_required no_longer_needed no_longer_go no_longer_belongs
         no_longerW_(num\w*|phone) not_need(ed)?$ too_often too_many(?=E|_(T|of_these)) too_much_T
         TW_too_much you_keepW_T u_keepW_T they_keepW_T you_keep_asking you_keep_calling told_you_no
         ur_blocked re_blocked legal_action in_court the_law email_instead a_no_from let_me_be
         eat_shit bite_me kiss_my T_no (enough|done|fed_up|hate|tired|sick)W_(T|these|your?)
         enough_already enough_is enough_now enough_with (why|still)W_(T|getting)'
        -- complaining
        ' to_sue will_sue ll_sue (report|block)\w*_(you|this|as) block_me blocked_and blocking_and
         are_blocked leave_(me|us|my)W_(alone|be) go_away(?=E) get_lost piss_off buzz_off bug_off
         bugger_off back_off screw_off f_off eff_off shutW_up let_me_alone driving_me_crazy per_T
         complaint_with file_a_complaint filing_a_complaint tf_off kick_rocks get_a_life screw_you
         go_to_hell stfu last_warning final_warning means_no said_no authorized_you knock_it_off
         cut_it_out a_rest zero_interest not_for_me no_account no_idea_who another_company f_u go_f'
        -- somebody else
        ' notW_(number|person|customer|client|patient|member|live|belongs?)
         this_is_not_(?!what|right|ok|the|my)\w+ someone_else passed_away rather_not(?=E|_get)
         he_died she_died mom_died dad_died mother_died husband_died dog_died he_is_dead she_is_dead
         person_is_dead no_oneW_named? nobodyW_named? is_noW_here noW_at_this'
        -- Spanish, French and German
        ' basta baja nunca alto_a alto_ya par(ar|a|e|en|em|enle)_(T|de|ya|con|com|los) me_tira
         me_tire tire_meu ya_estuvo ya_no(?=E) ya_no_quiero ya_me ya_parenle dej\w+(_de|_en_paz)
         cesa cese cesen me_salgo me_opongo N_(necesito|conozco|conheco|pedi|soy|sou|vive) harto
         harta numero_errado numero_mal numero_incorrecto es_suW_num\w* no_es_el_num\w* marco_mal
         dije_que_no pas_moi quiero_salir quiero_salirme m_interesse_pas veux_plus veux_pas(?=E)
         hort_auf horen_sie_auf stoppt stoppen melde_mich_ab mochte_ich_nicht will_ich_nicht
         will_das_nicht nie_wieder chega_de in_ruhe (ne?|en)_(\w+_){1,2}plus tranquil\w* plus_rien
         nicht_mehr la_paix en_paix va_te_faire ras_le_bol fini_les faites_erreur plainte reportar
         marre suffit assez mauvais_num\w* mauvaise_personne faux_num\w* erreur_de connais_pas
         (pas|rien|jamais)_(demande|T|donne)';
    k_whole constant text := -- and nothing else
        'enough had_enough nothanks not_care anular that_s_enough thats_enough removed do_not
         just_no hard_no absolutely_not can_you_not no_need not_necessary not_him not_her not_me
         canceled cancelled junk i_quit i_decline declined? reject off out exit leave mute turnW_off
         shutW_off block blocked report reported deleted? unfriend unfollow never hell_no no_quiero
         nao_quero pass hard_pass i_ll_pass i_m_done im_done dnd nty salir fuera cancelar terminar
         remover bloqueado fini? annuler annulez erreur ende kundigen sair quero_sair chega parem
         ferma annulla afmelden raus nein como_cancelo quiero_cancelar quero_cancelar koniec
         dung_lai tigil berhenti sispann';
    k_elsewhere constant text := 'стоп|СТОП|Стоп|отпи|توقف|إلغاء|הסר|עצור|बंद|หยุด|ยกเลิก|停|退订|退訂|取消|ストップ'
        '|やめて|중지|그만|거부';
    -- Words that are misspelled, and ordinary ones that are no misspellings of them.
    k_near constant text := 'stop unsubscribe cancel quit revoke optout remove';
    k_ordinary constant text := 'cancel top shop step slop quiet quite suit unit quiz qui remote cancer';
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
    -- The next expression takes the cube of a word's length.
    v_words := regexp_replace(v_words, '([a-z]{40})[a-z]+', '\1', 'g');
    v_words := regexp_replace(v_words, '([a-z])\1{2,}', '\1', 'g'); -- "stoppp"
    v_words := regexp_replace(v_words, '\ms[ .-]+t[ .-]+o[ .-]+p\M', 'stop', 'g');
    v_words := regexp_replace(v_words, '(?<=[a-z])0|0(?=[a-z])', 'o', 'g'); -- "st0p"
    v_words := regexp_replace(
        v_words, '\m(do?|did|does|is|was|are|wo|ca|have|has|would|could)no?[^a-z0-9.,!?]?t\M', '\1 not', 'g');
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
    -- One letter is missing, too many or another one, or two have changed places. PostgreSQL keeps
    -- 32 compiled regular expressions, and this function has nearly as many.
    select string_agg(
        l || '[a-z]?' || substr(w, i + 1)
            || '|' || l || substr(w, i, 1) || '[a-z]' || substr(w, i + 1)
            || '|' || l || substr(w, i + 1, 1) || substr(w, i, 1) || substr(w, i + 2),
        '|') into v_near
    from string_to_table(k_near, ' ') w
    cross join generate_series(1, length(w)) i
    cross join left(w, i - 1) l;
    if v_words ~ replace(smsretry.any_word(k_phrases), 'N', smsretry.any_word(k_not))
        or v_words ~ rtrim(smsretry.any_word(k_begins), '\M')
        or v_bare ~ format('^(%s )*%s (%s )*$', smsretry.any_word(k_greeting),
                           smsretry.any_word(k_alone || ' ' || k_whole), smsretry.any_word(k_object))
        or v_words || ' . ' || replace(v_bare, ' ', '') ~ ('(^|[.C] )' || smsretry.any_word(
            '(' || v_near || ')(?=_((me|us|this|these|the|my|all)_)*T|_(me|it)\M|(?<!'
            || smsretry.any_word(k_ordinary) || ')E)'))
        or v_body ~ k_elsewhere then
        return 'unsure';
    end if;
    return null;
end
$$;
