"""How people say stop, and what they say otherwise: written down without a look at the package's own list.

The words of law and of providers are theirs: 47 CFR 64.1200(a)(10); Twilio, "Customize users' opt-in and opt-out
experience with Advanced Opt-Out" and "Opt-out keywords" (Proxy); AWS End User Messaging, "Required opt-out keywords";
Telnyx, "Advanced Opt-In/Out"; Braze, "Opt-in and opt-out keywords". The rest is what a dictionary or a phone has.
"""

from typing import Final

LAW: Final = ("stop", "quit", "end", "revoke", "opt out", "cancel", "unsubscribe")
"""47 CFR 64.1200(a)(10)(i): each of them always revokes consent."""
PROVIDERS: Final = (
    "STOP", "UNSUBSCRIBE", "END", "QUIT", "STOPALL", "REVOKE", "OPTOUT", "CANCEL",  # Twilio
    "ARRETT", "ARRET", "ARRETE",  # Twilio Proxy
    "ARRET", "CANCEL", "END", "OPT-OUT", "OPTOUT", "QUIT", "REMOVE", "STOP", "TD", "UNSUBSCRIBE",  # AWS
    "STOP ALL",  # Telnyx
)  # fmt: skip
DICTIONARY: Final = {
    "es": (
        "alto", "para", "pare", "parar", "basta", "baja", "cancelar", "detener", "detente", "salir", "terminar",
        "no más",
    ),
    "fr": ("arrêt", "arrêter", "arrêtez", "arrête", "désabonner", "désinscrire", "annuler", "résilier"),
    "de": ("stopp", "abmelden", "abbestellen", "aufhören", "kündigen", "widerruf", "austragen", "löschen"),
    "pt": ("parar", "pare", "sair", "cancelar", "remover", "descadastrar", "chega"),
    "it": ("basta", "ferma", "fermati", "annulla", "cancellami", "disiscrivi", "disdici"),
    "nl": ("stop", "stoppen", "afmelden", "uitschrijven", "opzeggen"),
    "da": ("stop", "afmeld", "frameld"),
    "no": ("stopp", "avmeld", "avslutt", "slutt"),
    "sv": ("stopp", "avsluta", "sluta"),
    "fi": ("lopeta",),
    "pl": ("stop", "koniec", "wypisz", "rezygnuję", "anuluj"),
    "cs": ("odhlásit", "konec", "zrušit"),
    "hu": ("leiratkozás",),
    "ro": ("dezabonare", "oprește"),
    "tr": ("dur", "durdur", "iptal", "DURDUR", "İPTAL", "IPTAL", "ıptal"),
    "ru": ("стоп", "СТОП", "отписаться", "отмена", "хватит", "прекратите"),
    "uk": ("стоп", "відписатися", "досить"),
    "el": ("στοπ", "ΣΤΟΠ", "διακοπή", "τέλος"),
    "ar": ("توقف", "قف", "إيقاف", "إلغاء"),
    "he": ("הסר", "עצור", "די", "הפסק"),
    "hi": ("बंद", "बंद करो", "रोको"),
    "th": ("หยุด", "ยกเลิก"),
    "vi": ("dừng lại", "ngừng"),
    "tl": ("tigil", "itigil", "hinto"),
    "id": ("berhenti", "henti"),
    "ht": ("sispann", "kanpe"),
    "zh": ("停止", "停", "退订", "退訂", "取消"),
    "ja": ("停止", "ストップ", "ｽﾄｯﾌﾟ", "解除", "配信停止", "やめて"),
    "ko": ("중지", "정지", "그만", "수신거부", "수신 거부"),
}  # fmt: skip
"""The plain word for it."""
ODD: Final = (
    "opt out", "stop.", "STOP!", "OPT-OUT", "stop all", "stop\u00a0all", "\u200bstop", "st\u200bop", "stop\u200b",
    "Arrêt", "alto", "stop 🙏", "🛑", "🛑 STOP 🛑", "“STOP”", "'stop'", "«stop»", "(stop)", "*STOP*", "_stop_",
    "~stop~", "- stop", "#stop", "s t o p", "S.T.O.P.", "S-T-O-P", "ＳＴＯＰ", "𝐒𝐓𝐎𝐏", "𝓼𝓽𝓸𝓹", "ⓢⓣⓞⓟ", "Stop\r\n",
    "\u2003STOP\u2003", "stop\ufeff", "\u202astop\u202c", "stop\u00ad", "s\u00adt\u00ado\u00adp", "stop\ufe0f",
    "stop👍🏽", "stop\u2026", "stop...", "STOP!!!!!!", "stoppp", "STOOOOP", "stop stop stop", "Stop! Stop! STOP!",
    "stop, cancel", "end/stop", "stop\tall", "opt_out", "opt\u2011out", "opt\u2013out", "opt  out", "Opt-Out.",
    "un-subscribe", "un subscribe", "Ｏｐｔ　ｏｕｔ", "ŞTOP", "stöp", "sťop", "stp", "STPO", "unsuscribe", "ſtop",
)  # fmt: skip
"""A word alone, as phones and people write it."""

SENTENCES: Final = (
    "please stop texting me", "take me off your list", "wrong number stop", "no more messages please", "remove me",
    "Please stop", "stop please", "STOP PLEASE", "PLEASE CANCEL", "plz stop", "pls stop 🙏", "stop it", "Stop this",
    "stop now", "Stop sending me texts", "stop messaging me", "Stop contacting me!!", "STOP TEXTING ME",
    "stop txting this number", "Can you stop texting me?", "could you please stop", "I want you to stop",
    "I said stop", "I told you to stop", "Why don't you stop", "how do I stop these", "How do I unsubscribe?",
    "how can i opt out", "i want to opt out", "I'd like to opt out of these messages", "opt me out",
    "Please opt me out.", "I am opting out", "unsubscribe me", "Please unsubscribe", "pls unsubscribe this number",
    "unsubscribe from all", "unsub me", "I have unsubscribed already", "do not text me", "Don't text me",
    "don’t text me again", "dont text this number", "DON T TEXT ME", "Do not message me again", "do not contact me",
    "Don't contact me anymore", "never text me again", "never contact me again", "don't ever text me",
    "Don't send me any more texts", "do not send me messages", "dont send me anything", "don't send me this again",
    "please don't send these messages", "I don't want these messages", "I do not wish to receive texts",
    "I no longer wish to receive these messages", "I don't want to be contacted",
    "i dont want any more texts from you", "I don't want your reminders", "I never signed up for these texts",
    "I did not ask for this, stop", "No more texts", "no more", "No more!", "no more messages",
    "no more texts please", "Enough", "enough already!", "enough texts", "too many texts", "Too many messages, stop",
    "Not interested", "not interested, thanks", "Sorry, not interested", "I am no longer interested",
    "quit texting me", "Quit sending me messages", "quit it, stop", "cease and desist", "Cease contacting me",
    "I revoke my consent", "I revoke consent to be texted", "I withdraw my consent", "Consent withdrawn",
    "I hereby revoke", "you do not have my permission, stop", "cancel these texts", "Cancel my subscription",
    "cancel the text messages", "cancel text alerts", "end these messages", "End my subscription please",
    "turn off notifications", "please discontinue these messages", "discontinue text reminders",
    "terminate my subscription", "remove my number", "Remove me from your list", "please remove this number",
    "delete my number", "Delete me", "delete this number from your system", "take my number off",
    "Take me off this list", "take me off", "get me off your list", "off your list please", "lose my number",
    "lose this number", "wrong number", "Wrong number.", "wrong #", "You have the wrong number", "Sorry wrong person",
    "This is not her number anymore", "not my number", "how did you get my number", "Who gave you my number?",
    "leave me alone", "Leave me the hell alone", "go away", "get lost", "fuck off", "F off", "piss off", "shut up",
    "knock it off", "cut it out", "spam", "This is spam", "reported as spam", "stop spamming me", "quit spamming",
    "I am reporting you", "I'm blocking you", "blocked you", "do not call list", "I am on the DNC", "TCPA violation",
    "I will complain to the FCC", "this is harassment", "stop harassing me", "These texts don't stop",
    "they never stop", "stop for good", "Stop at once!", "STOP. I moved away", "Hi, this is Ann, please stop, thanks",
    "STOP - wrong person", "ok stop", "stop thanks", "Stop, thank you!", "thanks but please stop", "Hello? STOP",
    "Stop\n\nSent from my phone", "stop 2day", "STOP 12345", "please cease", "Stop texing me", "Stopp texting",
    "This is the third time, stop", "I asked you to stop last week", "Make it stop", "stop bothering me",
    "don't bother me", "stop e-mailing and texting", "Don't call or text me", "don't call me again",
    "no texts please", "st\u200bop texting me", "please\u200bstop\u200btexting", "ＰＬＥＡＳＥ　ＳＴＯＰ",
    "𝐩𝐥𝐞𝐚𝐬𝐞 𝐬𝐭𝐨𝐩", "🛑 texting me", "I don't want to receive these", "I do not want this",
    "I didn't sign up for this", "I never gave you permission to text me", "I did not consent to this",
    "This isn't Ann's number", "He is deceased", "I am not a customer", "Not a customer anymore",
    "I'm no longer your customer", "No longer needed", "Do not send", "don't send these", "text me again and I sue",
    "I'll sue you", "You will hear from my lawyer", "block", "Blocked", "delete", "Remove from list", "off", "exit",
    "withdraw", "Unenroll me", "please refrain from texting me", "Refrain from contacting me",
    "I prefer not to get texts", "rather not receive texts", "You keep texting me", "why are you texting me",
    "Why do I keep getting these texts", "No quiero", "no me interesa", "No estoy interesado", "eliminar mi numero",
    "cancelen mensajes", "Pas intéressé", "Kein Interesse", "bitte nicht mehr", "não tenho interesse",
    "non mi interessa",
    # Spanish
    "por favor no me envíe más mensajes", "no me manden más textos", "No me escriban más", "no quiero más mensajes",
    "No más mensajes", "ya no quiero mensajes", "deje de enviarme mensajes", "dejen de molestarme",
    "Para de escribirme", "quiero darme de baja", "dar de baja", "dame de baja por favor", "bórrame de la lista",
    "elimíneme", "quítame de la lista", "número equivocado", "Numero equivocado, gracias", "déjenme en paz",
    "alto por favor", "stop por favor", "cancelar suscripción", "no deseo recibir mensajes", "Equivocado",
    # French
    "arrêtez de m'envoyer des messages", "Arrêtez svp", "ne m'envoyez plus de messages", "ne m’envoyez plus rien",
    "Plus de messages svp", "je ne veux plus de textos", "je ne veux plus recevoir de messages",
    "veuillez me désabonner", "désabonnez-moi", "retirez-moi de la liste", "Supprimez mon numéro", "mauvais numéro",
    "laissez-moi tranquille", "stop svp", "arrêt s'il vous plaît",
    # German
    "bitte stoppen", "Stopp bitte", "bitte keine SMS mehr", "keine Nachrichten mehr", "Ich möchte keine SMS mehr",
    "hören Sie auf", "hör auf", "bitte abmelden", "falsche Nummer", "lassen Sie mich in Ruhe",
    "Schreiben Sie mir nicht mehr, stop", "löschen Sie meine Nummer",
    # Portuguese, Italian, Dutch
    "pare de me enviar mensagens", "não me envie mais mensagens", "não quero receber mensagens", "número errado",
    "non scrivetemi più", "non voglio più messaggi", "smettetela", "basta messaggi", "numero sbagliato",
    "cancellatemi", "geen berichten meer", "stuur me niet meer sms, stop", "verkeerd nummer",
    # Others
    "отпишите меня", "не пишите мне", "не присылайте больше", "прекратите присылать", "відпишіть мене", "不要再发了",
    "请退订", "配信を停止して", "もう送らないでください、やめて", "문자 보내지 마세요", "đừng nhắn tin nữa, stop",
    "huwag na kayong mag-text",
)  # fmt: skip
"""May mean stop, and is no keyword."""

ORDINARY: Final = (
    "Yes, see you at 10", "The bus stop is closed, I'm late", "Don't stop, I love these", "Don’t stop!",
    "please don't stop", "never stop 😀", "stop by at 5?", "Can I stop by tomorrow?", "I'll stop by around 3",
    "We will stop in on Friday", "had to stop for gas, 5 min late", "I have to stop at the bank first",
    "Running late, need to stop at home", "I'm at the last stop", "It's the next stop", "one stop shop, love it",
    "a quick stop and I'm there", "by the stop sign?", "Stop & Shop parking lot?", "non-stop fun, thanks", "nonstop",
    "the train stop", "Yes", "yes!", "Y", "YES PLEASE", "No", "no", "N", "No thanks", "no thank you", "Ok",
    "OK thanks", "okay 👍", "👍", "❤️", "Thanks!", "Thank you so much", "ty", "C", "Confirm", "confirmed", "CONFIRM",
    "1", "2", "5", "10/10", "5 stars!!", "Great service, I will leave a review", "Loved it", "Perfect", "Sounds good",
    "Fine", "fine by me", "See you then", "See you at nine", "On my way", "I'm here", "Running 10 minutes late",
    "Can we reschedule?", "I need to cancel my appointment", "Cancel my 3pm please", "Can I cancel tomorrow?",
    "I have to cancel, my son is sick", "please cancel tomorrow's appointment", "cancel the appointment",
    "I can't make it", "Can we move it to Tuesday?", "What time do you close?", "Do you open on Sunday?",
    "How much is it?", "Where are you?", "Who is this?", "Is this Ann?", "Call me", "Please call me back",
    "text me when you are here", "Text me the address", "send me a text with the time", "Can you text me instead?",
    "I don't have the address", "I didn't get your message", "I did not see your message until now",
    "Sorry, just saw this message", "No problem", "no worries", "No, I meant Friday", "nothing yet", "not yet",
    "not sure", "I'm not sure yet, maybe next week", "I'll quit my job early that day", "I quit smoking!",
    "the end of the week works", "At the end of the day?", "by end of day please", "weekend works", "This weekend?",
    "I'm in the end unit", "End of March", "the party ends at 9", "How does the movie end?",
    "remove the old tires please", "Can you remove the stain?", "please remove the snow",
    "take the next left off the highway", "take a day off", "I have the day off", "It's off",
    "Turn left at the list office", "The wrong size came", "I got the wrong color",
    "Something is wrong with the sink", "alone at home until 4", "Leave it at the door", "leave the keys with me",
    "I want to order more", "I'd like more information", "No more than 50 dollars?", "no more than 3 people",
    "I have enough, thanks, see you Monday", "That's enough paint for the room?", "start", "help", "info", "unstop",
    "What does it cost to start?", "I'm driving, call you later",
    "I'm driving with Do Not Disturb While Driving turned on. I'll see your message when I get where I'm going.",
    "Sorry, I can't talk right now. Can I call you later?", "Do not reply to this message", "Don't worry about it",
    "don't know yet", "I don't want to cancel", "I do not want to opt out", "Please don't unsubscribe me",
    "We never cancel", "Don't cancel!", "Liked “Hi Ann, see you at 10. Reply STOP to opt out.”",
    "Loved “Your visit is tomorrow. Text STOP to end”", "Laughed at “Please rate us. STOP to unsubscribe”",
    "👍 to “Your table is ready. Reply STOP to opt out”", "Reacted 😂 to “Reply STOP to stop”",
    "Le gustó “Su cita es mañana. Responda STOP para cancelar”", "Emphasized “STOP to quit”", "Gracias",
    "sí, gracias", "Sí confirmo", "nos vemos mañana", "para mañana a las 10", "a las 5 por favor", "no puedo mañana",
    "¿Puedo cambiar la cita?", "no tengo el mensaje", "Merci beaucoup", "oui", "à demain", "je serai en retard",
    "pas de problème", "Danke, bis morgen", "ja", "Ich komme später", "kein Problem", "obrigado", "sim", "até amanhã",
    "grazie, a domani", "non posso domani", "да", "спасибо", "до завтра", "好的", "谢谢", "はい", "ありがとう", "네",
    "감사합니다", "شكرا", "نعم", "तो कल मिलते हैं", "ครับ", "There was no text", "no message from you yet",
    "No sms received", "I never got the text with the code", "Drop me a line", "Traffic is stop and go",
    "good enough", "Fair enough", "Enough said", "don't call, text", "Do not call after 8pm please",
    "Don't call before 9", "We cancel the party, text me the refund", "stop #4 on the tour",
    "Which stop do I get off?", "what stop?", "Is there a bus stop nearby?", "I can't stop smiling",
    "Stopped by but you were closed", "cancel my order", "Interested!", "Is it too late to cancel?", "Take exit 9",
    "delete the second booking", "I'm off today", "off work at 5", "block party on Saturday",
    "Please don't send the blue one", "I don't want it in blue", "I don't need that size", "I no longer need a ride",
    "leave it", "Para dos personas", "fin de semana", "Baja California", "no tengo interés compuesto",
    "why are you closed today?", "Did you report the claim?", "Can you keep my number on file?", "forget my keys lol",
    "My number changed to 555-1234", "", " ", "?", "!!!", "🙏", "😀😀", "http://example.com/a", "12125550123",
    "Ann Smith, 12 Main Street",
)  # fmt: skip
"""What people answer to a business that texts them. None of it is to opt anybody out."""

WHEN_IN_DOUBT: Final = (
    "stop my order please", "can you stop the delivery", "It will stop raining by then",
    "don't text while driving lol", "Remove me from the waitlist for Friday", "please cancel", "cancel it", "end it",
    "ok end", "That's enough", "don't need a reminder, I'll be there", "Stop 5", "can the driver stop here?",
)  # fmt: skip
"""Said of something else, perhaps. Whoever says it is opted out, and a person is shown that."""
STOPS: Final = (*LAW, *PROVIDERS, *(word for words in DICTIONARY.values() for word in words), *ODD, *SENTENCES)
"""All the ways to say stop."""
