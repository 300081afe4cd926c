-- Whether an incoming text says stop. Consent is revoked "in any reasonable manner" (47 CFR 64.1200(a)(10)).
--   keyword: nothing but words that say so, in whatever case, accents and punctuation. It opts out
--   unsure: something in it sounds like leaving or complaining, or it asks or laughs beside a keyword. It opts nobody out
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
    -- From here on, regular expressions for small letters without accents, with a space between words. Apostrophes part words.
    k_says constant text := -- with courtesies around it and objects after it
        'stop( now)?|st0p|stp|sotp|stpo|stop ?all|un ?su[bs]?s?c?ribe|unsub|opt ?out|opt me out|cease|desist'
        '|(stop|quit) (send|text|txt|messag|contact|bother|spamm|harass)ing|no more (texts|messages|reminders)'
        '|(do not|don ?t) (text|txt|message|contact) (me|us)|take me off (your|the|this) list'
        '|(remove|delete) (me|(my|this) number)( from (your|the|this) list)?|no mas (mensajes|textos)'
        '|(dar|dame|denme|darme) de baja|no me (escriban?|manden?|envien?)( mas)?( mensajes)?|arret[et]?|arrete[rz]'
        '|(me )?desabonne[rz]( moi)?|plus de (sms|messages)|ne m (envoyez|ecrivez) plus( de (sms|messages))?';
    k_alone constant text := -- with nothing else
        'end|quit|cancel|revoke|remove|td|alto|baja|basta|para|pare|paren|parar|detener|no mas|desinscrire';
    k_courtesy constant text :=
        'please|pls|plz|kindly|thanks|thank you|thx|ok|hi|hello|i (want|would like) to|por favor|gracias|ya|svp|s il vous plait'
        '|merci';
    k_object constant text := 'me|us|it|all|already|again|any ?more|the|these|this|my|texts?|messages?|sms|reminders|number';
    -- What may mean it, where T is a text or texting, and a point parts sentences.
    k_texts constant text :=
        'te?xt\w*|txt\w*|sms|mess(age|agi)\w*|msgs?|notif\w*|remind\w*|alerts?|communic\w*|promo\w*|ads?|market\w*|contact\w*'
        '|send\w*|mensaj\w*|recordat\w*|publici\w*|avisos?|envi\w*|mand(e|en|ar|arme|ando)|escrib\w*|envo\w*|ecri\w*|pubs?'
        '|rappel\w*';
    k_not_this constant text := -- what shall not stop or does not, stops on a way, a text that did not come, a patient's consent
        '(?<!\m(you|u|they|these|those|T) )(do not|don ?t|(did|has|does|wo|could) ?n ?t|did not|never|can ?t)'
        '( (mean|want|ask|say|said|to|be))* (stop\w*|unsub\w*|opt out|cancel\w*|remov\w*|delet\w*|quit|(take|get) (me|us|it) off)'
        '|non ?stop|(bus|last|next|first|one|which|what|metro|train) stop|(stop|quit)\w* (working|smoking|eating|taking|using)'
        '|stop(ped|ping)? (by|in|over|at|for|signs?|to (get|pick|see))\M(?! (once|good))'
        '|(did|have|never)( ?(not|n ?t))? (get|got|rec\w+|saw|seen?)( \w+){0,2} T|no (me llego|recibi)( \w+){0,2} T'
        '|pas recu( \w+){0,2} T|no( me| lo| quiero)* (quit|borr|cancel|dej\w+ de|d\w+ de baja)\w*'
        '|ne?( me)? (arret|annul|retir|desabonn)\w*( moi)? pas|consent forms?';
    k_stem constant text :=
        -- stopping, leaving and consent
        'st[ao]h?p\w*|\w+stop|stp\w?|st0p|sotp|st op|s top|\w*subs?c?ri\w*|uns\w*ri\w*|un ?sub\w*|opt(ed|ing)?( \w+){0,3} ou[ty]'
        '|optout|quit|ceas\w+|desist|halt|terminat\w*|discontin\w*|suspend\w*|deactivat\w*|un ?enrol\w*|un ?list|deregist\w*'
        '|purge|pause|revo[ck]\w*|rescind\w*|withdr\w*|consent\w*|permi(ssion|so)|\w*auth?ori\w*'
        '|(want|like|off)( \w+){0,3} (off|out|lists?)'
        '|(cancel\w*|end|annul\w*|anul\w*|turn\w*|shut|disable|block|skip)( \w+){0,3}'
        ' (T|all|these|those|this|it|esto|sus\w*|abonn\w*)'
        '|(r[ew]mo?v\w*|remvoe|delet\w*|eras\w*|take|took|taken|get|forget|drop|scratch|mute)( \w+){0,2}'
        ' (me|us|this|lists?|name|num\w*|info\w*|data)'
        '|out of( \w+)? list|exclude me|(be|number) removed|remove my'
        '|(my|this|that|his|her|mi|este|mon|ce|son|wrong)( cell| phone)? nu\w+|wrong (person|guy|phone)'
        -- not wanted
        '|(don ?t|dnt|no|not|never|rather|plus|pas|ne|nunca|ni|sin|aucun|jamais)( \w+){0,5}'
        ' (T|bother|bug|disturb|molest\w*|rec[ie][bv]\w*)'
        '|(do not|don ?t|never|did ?n ?t)( \w+){0,2} (want|need|wish|sign\w*|ask\w*|agree\w*|gave|give|know)( \w+){0,3}'
        ' (this|these|up|them|you|it)'
        '|(do not|don ?t) ask|no more|no longer|not?( \w+){0,2} interest\w*|uninterested|rather not'
        '|never (been|agreed|asked|heard|again)|prefer( \w+)? not|refrain\w*|too (many|much|often)|(you|i|they|u) keeps? \w+'
        '|(enough|done|fed up)( \w+){0,3} T|enough (already|is|now|please|with)|why( \w+){1,3} (T|getting)|(tired|sick) of'
        -- complaining
        '|spam\w*|harass\w*|bother\w*|annoy\w*|scam\w*|fcc|tcpa|lawyer|attorney|sue|suing|legal action|do not call|dnc'
        '|(report|block)\w* (you|me|this|as|and)|(re|are) blocked|leave (me|us)|go away|get lost|(piss|buzz|e?ff?) off|fuck\w*'
        '|shut up|screw you|knock it off|cut it out|go to hell|a rest|means no|said no'
        -- somebody else
        '|(not|\w+n ?t)( \w+){0,2} (number|phone|person|for me|customer|client)|this (is not|isn ?t)|some ?one else|belongs? to'
        '|another company|passed away|deceased|died|land ?line|no ?(one|body)( \w+){0,3} name\w*|(no longer|\w+n ?t) live'
        '|there( is|s) no \w+ at|no account|work phone'
        -- Spanish and French
        '|basta|baja|alto (a|ya|por|con)|par(a|e|en|enle) (de|ya|con)|ya (estuvo|no|me canse|parenle)|dej\w+( de| en paz)'
        '|deten\w+|ces(a|e|en)|no mas|nunca|equivoc\w*'
        '|(borr|elimin|quit|sac|saqu|remuev|desactiv|desus|bloque|denunci|fastidi)\w+|me (salgo|opongo)|sus\w*ripcion'
        '|no (quiero|deseo|necesito|conozco|me (interes|suscri)\w*|estoy|pedi|soy|vive)|acoso|hart[ao]s?|reportar|mis datos'
        '|marco mal|numero (errado|mal|incorrecto)|no es el numero|arret\w*|cess\w+|desab\w*|desin\w*|resili\w*'
        '|(ne?|en) (\w+ ){1,2}plus|plus (de|rien|jamais)'
        '|(suppri|effac|enlev|retir|lach|tromp|harcel|derang|signal|bloqu|degag|refus|oppos|insist)\w+|pas interes\w*'
        '|interes\w* pas|suis pas|tranquille|(la|en) paix|marre|suffit|ras le bol|assez|plainte|va te faire|fini les'
        '|(mauvais|faux|erreur de) \w+|pas (mon|votre) \w+|pas le bon|faites erreur|connais pas'
        '|(pas|rien|jamais) (demande|inscri\w*|donne)';
    k_whole constant text := -- and nothing else
        '(that ?s )?enough|removed?|off|exit|mute|block(ed)?|delete|cancel|unfriend|unfollow|never|hell no|no quiero|salir|fuera'
        '|cancelar|terminar|remover|bloqueado|fini?|annule[rz]|erreur|stopp|ende|abmelden|sair|ferma|annulla|afmelden|koniec'
        '|dung lai|tigil|berhenti|sispann';
    k_elsewhere constant text := 'стоп|СТОП|Стоп|отпи|توقف|إلغاء|הסר|עצור|बंद|หยุด|ยกเลิก|停|退订|退訂|取消|ストップ'
        '|やめて|중지|그만|거부';
    v_body text := left(means_stop.body, 1600);
    v_words text;
    v_alone text;
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
    v_alone := btrim(regexp_replace(v_words, '[^a-z0-9]+', ' ', 'g')) || ' ';
    if v_body !~ k_laughs and (
        v_alone ~ format('^((%s|%s) )+$', k_says, k_alone)
        or v_alone ~ format('^((%s) )*(%s) ((%s|%s|%s) )*$', k_courtesy, k_says, k_says, k_courtesy, k_object)) then
        return 'keyword';
    end if;
    v_words := btrim(regexp_replace(regexp_replace(v_words, '[^a-z0-9.,!?;:]+', ' ', 'g'), ' *[.,!?;:]+ *', ' . ', 'g'));
    v_words := regexp_replace(v_words, format('\m(%s)\M', k_texts), 'T', 'g');
    v_words := regexp_replace(v_words, format('\m(%s)\M', k_not_this), '-', 'g');
    if v_words ~ format('\m(%s)\M', k_stem) or v_alone ~ format('^((%s) )*(%s) ((%s) )*$', k_courtesy, k_whole, k_courtesy)
        or v_body ~ k_elsewhere then
        return 'unsure';
    end if;
    return null;
end
$$;
