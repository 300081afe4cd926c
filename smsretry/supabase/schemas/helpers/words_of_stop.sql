-- The words by which people say stop: the one list, as smsretry.plain_words writes words.
--   keyword: all of a text, alone or repeated · courtesy: may stand beside a keyword
--   words: a regular expression, anywhere in a text; it may mean stop
--   not_this: has such a word and means something else; removed before words are looked for · even_so: counts although
--     not_this fits
-- said_by: who names the word. 47 CFR 64.1200(a)(10)(i) has seven that always revoke consent. Twilio: Advanced Opt-Out's
-- default keywords, and "Opt-out keywords" of Proxy (French). AWS: "Required opt-out keywords" of End User Messaging.
-- Telnyx: "Advanced Opt-In/Out". Ours: the plain word for it, or what people write.
create or replace function smsretry.words_of_stop()
returns table (kind text, language text, said_by text, words text[])
language sql immutable set search_path = pg_catalog, pg_temp as $$
    select w.kind, w.language, w.said_by,
           string_to_array(regexp_replace(normalize(w.words, nfkd), '[\u0300-\u036f\u064b-\u065f]', '', 'g'), '; ')
    from (values
        ('keyword', 'en', '47 CFR 64.1200(a)(10)(i)', 'stop; quit; end; revoke; opt out; cancel; unsubscribe'),
        ('keyword', 'en', 'Twilio', 'stopall; optout'),
        ('keyword', 'en', 'Telnyx', 'stop all'),
        ('keyword', 'en', 'AWS', 'remove; td'),
        ('keyword', 'fr', 'Twilio', 'arret; arrete; arrett'),
        ('keyword', 'en', 'ours', 'unsub; stop it; stop now; stop texting; opt me out; remove me; cease; desist; halt; 2stop; stop2end; st0p; 5top; stp; sotp; stpo; tsop; stoip; stop0; unsuscribe; unsubcribe; unsubscibe; unsubsribe; unsubscrib; cancle'),
        ('keyword', 'es', 'ours', 'alto; baja; para; pare; paren; parar; basta; detener; detente; cancelar; cancela; eliminar; salir; fin; terminar; no mas; dar de baja; anular; desuscribir; desuscribirme'),
        ('keyword', 'fr', 'ours', 'arretez; arreter; stopper; fin; annuler; annulez; desabonner; desabonnement; desabonnez moi; desinscrire; desinscription; resilier; supprimer'),
        ('keyword', 'de', 'ours', 'stopp; stoppen; ende; schluss; abmelden; abmeldung; abbestellen; austragen; aufhoren; aufhoeren; kundigen; kuendigen; widerruf; widerrufen; loschen'),
        ('keyword', 'pt', 'ours', 'parem; sair; remover; descadastrar; descadastre; chega; fim; suspender'),
        ('keyword', 'it', 'ours', 'ferma; fermare; fermati; annulla; cancella; cancellami; disiscrivi; disiscrivimi; rimuovi; disdici'),
        ('keyword', 'nl, da, no, sv, fi', 'ours', 'afmelden; uitschrijven; opzeggen; einde; stopt; afmeld; frameld; meld af; avmeld; avslutt; slutt; avsluta; sluta; avregistrera; lopeta'),
        ('keyword', 'pl, cs, hu, ro, tr', 'ours', 'koniec; wypisz; wypisz mnie; rezygnuje; rezygnacja; anuluj; odhlasit; konec; zrusit; leiratkozas; alljon le; dezabonare; opreste; dur; durdur; iptal; ret'),
        ('keyword', 'vi, tl, id, ht', 'ours', 'dung lai; ngung; tigil; itigil; hinto; tama na; berhenti; henti; batal; sispann; kanpe'),
        ('keyword', 'ru, uk, el', 'ours', 'стоп; отписаться; отписка; отпишите; отмена; хватит; прекратите; прекратить; отстаньте; відписатися; досить; припиніть; στοπ; διακοπη; σταματηστε; τελοσ'),
        ('keyword', 'ar, he, hi, th', 'ours', 'توقف; قف; ايقاف; إيقاف; الغاء; إلغاء; وقف; הסר; הסרה; הסירו; עצור; הפסק; הפסיקו; די; बंद; बंद करो; बंद करें; रोको; रोकें; रुको; หยุด; ยกเลิก'),
        ('keyword', 'zh, ja, ko', 'ours', '停止; 停; 退订; 退訂; 取消; 取消订阅; 取消訂閱; 配信停止; 解除; 停止して; ストップ; やめて; 중지; 정지; 그만; 수신거부; 수신 거부; 거부; 취소; 스톱'),
        ('courtesy', 'en', 'ours', 'please; pls; plz; plse; kindly; thanks; thank; you; thx; ty; now; ok; okay; all; it; this; immediately; asap; already; just; hi; hello; hey; sorry; sir; madam; everything; forever; right; away; at; once; me; my; number'),
        ('courtesy', 'es, fr, de, pt, it', 'ours', 'por; favor; gracias; ya; svp; sil; vous; te; plait; merci; bitte; danke; sofort; obrigado; obrigada; per; favore; grazie'),
        ('not_this', 'en', 'ours', '\m(do not|dont|never|not|wont|cant|cannot|didnt|doesnt|couldnt|wouldnt|shouldnt|non)( ever| really| want to| want you to| want it to| please)? (stop|unsubscribe|opt out|cancel)\M'),
        ('not_this', 'en', 'ours', '\m(a|an|the|my|our|your|his|her|their|one|another|each|every|first|second|third|2nd|3rd|last|final|next|full|quick|short|which|what|same|bus|train|tram|metro|subway|truck|pit|rest|gas|whistle) stop\M'),
        ('not_this', 'en', 'ours', '\mstop (by|in|into|over|off|around|round|at|for|to get|to pick|to see|on the way|on my way|sign|signs|light|lights|watch|loss|gap|motion|and shop|n shop|shop|and go|number [0-9]+)\M'),
        ('even_so', 'en', 'ours', '\mstop (at|for) (once|all|good|now|ever|real|god|gods|fucks?|the love)\M'),
        ('even_so', 'en', 'ours', '\m(you|u|they|these|those|it|texts?|messages?|msgs?)( just)? (do not|dont|wont|will not|never|didnt|doesnt|not) stop( [^ ]*(text|mess|send|contact|spam)[^ ]*)?$'),
        ('words', 'en', 'ours', '\m(sto+p+|stopall|un ?sub(scribe|scribed|scribing)?|unsuscribe|unsubcribe|opt(ed|ing)?( me| us| my number| this number)? ?out)\M'),
        ('words', 'en', 'ours', '\m(do not|dont|never|not|quit|cease|no more)( ever| be| you)? (text|txt|texting|txting|message|messaging|msg|contact|contacting|bother|bothering|spam|spamming|harass|harassing|sms|sending)\M'),
        ('words', 'en', 'ours', '\m(do not|dont|never|quit|cease)( ever)? (send( [^ ]+){0,4} (texts?|messages?|msgs?|sms|anything|any ?more|again|reminders?|notifications?|offers|ads|promotions|spam)\M|send( me| us)?( this| these| those)?$|call( me| us| this number| here)?( ever)? (again|any ?more|ever|(or|and|nor) (text|message))\M)'),
        ('words', 'en', 'ours', '\m(do not|dont|no longer|never)( really)? (want|wants|need|wish|care|like|asked|signed|agreed|consent)( [^ ]+){0,5} (texts?|texted|texting|messages?|messaged|msgs?|sms|contact|contacted|notifications?|reminders?|alerts?|marketing|promotions?|offers|ads|spam)\M|\m(do not|dont)( really)? want( to receive| to get)? (this|these|those)( any ?more)?$'),
        ('words', 'en', 'ours', '(^|\m(please|pls|plz|want|said|i say) )no (texts?|texting|messages?|sms)( please| pls| plz| thanks| thank you| ever|$)|\m(no more|no further|enough|too many)( fucking| damn| of these| of your)* (texts?|texting|messages?|msgs?|sms|notifications?|reminders?|ads|spam)( please| pls| plz| thanks| thank you| again| ever|$)'),
        ('words', 'en', 'ours', '\m(no more|no longer (interested|needed|required)|not interested|uninterested|(ive|i have|thats|that is) enough|had enough|enough is enough|enough already)( please| pls| plz| thanks| thank you| sorry)?$|^enough( now| please)?$|\m(no longer|not)( a| an| your)* (customer|client|patient)\M|\mis deceased\M'),
        ('words', 'en', 'ours', '\m(cancel|end|revoke|discontinue|terminate|suspend|halt|disable|deactivate|turn off|shut off|block|unsubscribe from)( [^ ]+){0,3} (texts|texting|text (alerts?|messages?|reminders?|notifications?)|messages?|messaging|msgs?|sms|subscriptions?|notifications?|alerts?|reminders?|spam)\M'),
        ('words', 'en', 'ours', '\m(revoke|revoking|revoked|withdraw|withdrawing|withdrawn|rescind|end|cancel|remove)( [^ ]+){0,2} (consent|permission|authorization)\M|\mi (hereby )?revoke\M|\mconsent (is )?(revoked|withdrawn)\M'),
        ('words', 'en', 'ours', '\m(remove|delete|erase|scratch) (me|us)\M|\m(remove|delete|erase|scratch|drop|lose|forget) (this number|the number|number|my (name|number|cell|phone|info|information|contact|data))\M|\mremove from( the| your| this)? list\M'),
        ('words', 'en', 'ours', '\mtake (me|us|this number|my (name|number|cell|phone))( [^ ]+){0,2} (off|out)\M|\m(off|from)( of)? (your|ur|this|the|ya) ((text|texting|call|calling|contact|mailing|sms) )?list\M'),
        ('words', 'en', 'ours', '\mwrong (number|person|phone|guy|contact)\M|\mnot (my|his|her|their) (number|phone)\M|\m(is not|isnt|aint) [^ ]+ (number|phone)( any ?more)?$|\mhow did (you|u) get (my|this) number\M|\mwho gave (you|u) (my|this) number\M'),
        ('words', 'en', 'ours', '\m(leave me( the [^ ]+)? alone|leave us alone|go away|get lost|knock it off|cut it out|shut up|buzz off|bug off|fuck off|f off|fuck you|piss off|screw you|go to hell|give it a rest)\M'),
        ('words', 'en', 'ours', '\m(do not call (list|registry)|dnc|tcpa|fcc|cease and desist|harass(ing|ment)?|spamming|spammers?|(this is|its|is|no|more|your|this|report) spam|report(ing|ed)? (you|this|your number|as)|block(ing|ed)? (you|this number|your number)|sue you|suing|(will|ill|i) sue|my (lawyer|attorney))\M|^spam$'),
        ('words', 'en', 'ours', '^(off|exit|delete|erase|block|blocked|withdraw|unenroll|deregister|unregister|terminate|discontinue|dnd|do not disturb|no contact)( this| me| it| please| pls)*$'),
        ('words', 'en', 'ours', '\m(refrain from|(prefer|rather) not)( to)?( be| get| getting| receive)? (text|mess|contact)|\m(why are you|you keep|keep on|why do i keep|i keep) (texting|messaging|getting (texts|messages|these)|receiving (texts|messages|these)|sending)\M'),
        ('words', 'en', 'ours', '\m(did not|didnt|never)( ever)? (sign up|signed up|ask for this|asked for this|ask for these|asked for these|agree|agreed|consent|consented|subscribe|subscribed|gave you permission|give you permission|gave permission)\M'),
        ('words', 'es', 'ours', '\m(par[aeo]n?|parar|alto|basta|dej[ae]n?|dejar|ces[ae]n?)( ya)?( de)? (enviar|enviarme|mandar|mandarme|escribir|escribirme|molestar|molestarme|textear|textearme|mensajes?|textos?|llamar|llamarme)\M|\m(no mas|ya no|ni un)( [^ ]+){0,3} (mensajes?|textos?|sms|notificaciones|publicidad|recordatorios|favor|gracias)\M'),
        ('words', 'es', 'ours', '\m(no|ya no|nunca)( me| nos)? (envi|mand|escrib|contact|molest|texte|llam)(e|es|en|a|as|an|i|is|ies|ien)( mas| nada| mensajes?| textos?| por favor|$)|\mno (quiero|deseo|quisiera)( [^ ]+){0,3} (mensajes?|textos?|sms|notificaciones|publicidad|recordatorios|contacten)\M'),
        ('words', 'es', 'ours', '\m(dar|darme|dame|denme|deme|den|quiero) (de )?(la )?baja\M|\mde baja\M|\m(borr|elimin|quit|saqu|remuev)(a|e|en|ar)me\M|\m(numero|persona) equivocad[oa]\M|\mequivocad[oa]$|\mdesuscri|\mdejen?me en paz\M|\mcancel(ar|en|e|a)( la| los| mis| mi| las)? (suscripcion|mensajes|textos|notificaciones)\M|\m(borrar|borren?|eliminar|eliminen?|quitar|quiten?) (mi|este) numero\M|\mno (me interesa|estoy interesad[oa])\M|^(no quiero|desactivar)( gracias| por favor)?$'),
        ('words', 'fr', 'ours', '\m(arrete[rz]?|cesse[rz]?)( svp| sil vous plait)?( de| d| les| vos| ces| tout| ca)\M|\m(ne |n)?(me |m)?(envoyez|envoyer|envoie|contactez|contacter|textez|ecrivez|derangez|envoyez moi) (plus|pas)\M|\m(plus|pas|aucun) (de |d )?(messages?|textos?|sms)\M|\mplus recevoir\M|\m(me |m)?(desabonn|desinscri)|\m(retirez|enlevez|supprimez|retirer|effacez) (moi|mon numero)\M|\m(mauvais|faux) numero\M|\mlaissez moi tranquille\M|\mpas interessee?\M|^fini$'),
        ('words', 'de', 'ours', '\m(keine|keinen|nicht mehr|nie wieder|nie mehr)( [^ ]+){0,3} (sms|nachrichten?|textnachrichten|mitteilungen|werbung|schreiben|anschreiben|kontaktieren|texten|senden|schicken)\M|\mhor(t|en sie)?( [^ ]+){0,3} auf\M|\m(abmelden|abbestellen|austragen|aufhoren|stoppen)\M|\mfalsche nummer\M|\mkein interesse\M|\mnicht mehr( bitte| danke)?$|\min ruhe\M|\m(meine|diese) nummer (zu )?loschen\M|\mlosch(en|t|e)( sie)?( bitte)? (meine|diese) nummer\M'),
        ('words', 'pt, it, nl', 'ours', '\mpar(e|em|ar|a) de (me |enviar|mandar|escrever)|\mnao( me)? (envi|mand|escrev|contat|perturb|incomod)[a-z]+|\mnao (quero|desejo)( [^ ]+){0,3} (mensagens|mensagem|sms|textos?)\M|\mnumero errado\M|\mdescadastr|\m(me )?(tire|tirem|remova|removam|retire)( me| meu)\M|\mnon( mi)? (scriv|mand|invi|contatt|disturb)[a-z]+|\mnon voglio( [^ ]+){0,3} (messaggi|sms)\M|\m(smett|basta con)[a-z]*|\mbasta (messaggi|sms)\M|\mnumero sbagliato\M|\mdisiscriv|\m(cancellatemi|rimuovetemi|toglietemi)\M|\m(geen|nooit meer)( [^ ]+){0,3} (berichten|berichtjes|sms|smsjes)\M|\mniet meer( [^ ]+){0,2} (smsen|appen|berichten|sturen|contact)\M|\m(uitschrijven|afmelden)\M|\mverkeerd nummer\M|\m(nao tenho|geen) interesse\M|\mnon mi interessa\M'),
        ('words', 'ru, uk, zh, ja, ko, vi, tl', 'ours', 'отпиш|отписа|не пиши|не присыла|не отправля|прекрат|перестан|відпиш|не пиш|не надсила|不要再|别再发|別再發|不要发|退订|退訂|取消订阅|取消訂閱|送らない|やめて|停止して|配信停止|보내지|수신거부|그만 보내|dung nhan tin|dung gui|khong gui|huwag (na|nang|mo) |tigilan')
    ) as w (kind, language, said_by, words)
$$;
