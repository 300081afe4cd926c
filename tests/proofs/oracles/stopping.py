"""How people say stop, and what they say otherwise: written down without a look at the package's own list.

The words of law and of providers are theirs: 47 CFR 64.1200(a)(10); Twilio, "Customize users' opt-in and opt-out
experience with Advanced Opt-Out" and "Opt-out keywords" (Proxy); AWS End User Messaging, "Required opt-out keywords";
Telnyx, "Advanced Opt-In/Out"; Braze, "Opt-in and opt-out keywords". The rest is what a dictionary or a phone has.
"""

from importlib.resources import files

LAW = ("stop", "quit", "end", "revoke", "opt out", "cancel", "unsubscribe")
"""47 CFR 64.1200(a)(10)(i): each of them always revokes consent."""
PROVIDERS = (
    "STOP", "UNSUBSCRIBE", "END", "QUIT", "STOPALL", "REVOKE", "OPTOUT", "CANCEL",  # Twilio
    "ARRETT", "ARRET", "ARRETE",  # Twilio Proxy
    "ARRET", "CANCEL", "END", "OPT-OUT", "OPTOUT", "QUIT", "REMOVE", "STOP", "TD", "UNSUBSCRIBE",  # AWS
    "STOP ALL",  # Telnyx
)  # fmt: skip
DICTIONARY = (
    "alto", "para", "pare", "parar", "basta", "baja", "cancelar", "detener", "detente", "salir", "terminar", "no más",
    "arrêt", "arrêter", "arrêtez", "arrête", "désabonner", "désinscrire", "annuler", "résilier",
    "стоп", "СТОП", "إلغاء", "הסר", "बंद", "หยุด", "停止", "退订", "取消", "ストップ", "やめて", "중지", "수신거부",
)  # fmt: skip
"""The plain word for it, in Spanish, in French, and in some languages that nobody here reads."""
ODD = (
    "opt out", "stop.", "STOP!", "OPT-OUT", "stop all", "stop\u00a0all", "\u200bstop", "st\u200bop", "stop\u200b",
    "Arrêt", "alto", "stop 🙏", "🛑", "🛑 STOP 🛑", "“STOP”", "'stop'", "«stop»", "(stop)", "*STOP*", "_stop_",
    "~stop~", "- stop", "s t o p", "S.T.O.P.", "S-T-O-P", "ＳＴＯＰ", "𝐒𝐓𝐎𝐏", "𝓼𝓽𝓸𝓹", "ⓢⓣⓞⓟ", "Stop\r\n",
    "\u2003STOP\u2003", "stop\ufeff", "\u202astop\u202c", "stop\u00ad", "s\u00adt\u00ado\u00adp", "stop\ufe0f",
    "stop👍🏽", "stop\u2026", "stop...", "STOP!!!!!!", "stoppp", "STOOOOP", "stop stop stop", "Stop! Stop! STOP!",
    "stop, cancel", "end/stop", "stop\tall", "opt_out", "opt\u2011out", "opt\u2013out", "opt  out", "Opt-Out.",
    "un-subscribe", "un subscribe", "Ｏｐｔ　ｏｕｔ", "ŞTOP", "stöp", "sťop", "ſtop",
)  # fmt: skip
"""A word alone, as phones and people write it."""

STOPS = (*LAW, *PROVIDERS, *ODD)
"""What says stop, and nothing else."""


def _lines(name: str) -> tuple[str, ...]:
    return tuple(
        files(__package__).joinpath(name).read_text(encoding="utf-8").splitlines()
    )


OPT_OUTS = _lines("opt_outs.txt")
"""What people write who want no more texts, in English, Spanish, French, German and Portuguese."""
OTHERS = _lines("other_texts.txt")
"""What else they answer, much of it with a word of stop: what shall not stop, or what stops or is removed elsewhere."""
