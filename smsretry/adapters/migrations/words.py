"""How an object is named, and a fact that differs told."""

from typing import Final

from smsretry.adapters.migrations.catalog import Entry

_WORDS: Final = {
    "not null": "may be null",
    "validated": "is not validated, so rows may break it",
    "valid": "is not valid",
    "logged": "is unlogged, so a crash empties it",
    "row security": "has row level security off",
    "permissive": "is restrictive",
}
"""What is wrong where a fact should be true."""
_REVERSED: Final = {
    "not null": "may not be null",
    "forced": "has row level security forced, so it binds its owner, too",
    "permissive": "is permissive",
}
"""And where it should be false."""
_UNREADABLE: Final = ("body", "definition", "using", "with check")
"""Facts that are a checksum, or too long to be told."""
_PLURALS: Final = {"index": "indexes", "policy": "policies"}


def fact_in_words(fact: str, wanted: Entry, found: Entry) -> str:
    """What a fact is, and must be."""
    if fact in ("signature", "parameters"):
        return f"has other parameters ({found.said(fact)})"
    if fact == "callers":
        return f"may be called by {found.said(fact) or 'nobody'}, and must be by {wanted.said(fact)} alone"
    if fact == "switched off":
        return "is switched off"
    if fact == "fires":
        return f"fires {found.said(fact)}"
    if isinstance(wanted.facts[fact], bool):
        return (_WORDS if wanted.facts[fact] else _REVERSED).get(fact, f"{fact} must be {wanted.facts[fact]}")
    if fact in _UNREADABLE and not (wanted.kind == "constraint" and len(found.said(fact)) < 80):
        return f"has another {'body' if fact == 'body' else 'definition'}: another version's, or somebody changed it"
    return f"{fact} is {found.said(fact) or 'not set'}, and must be {wanted.said(fact) or 'not set'}"


def grant_in_words(wanted: Entry, found: Entry) -> str:
    """What a role is granted too little, or too much."""
    may, must = set(found.said("may").split(", ")), set(wanted.said("may").split(", "))
    lacking, beyond = ", ".join(sorted(must - may)), ", ".join(sorted(may - must))
    if lacking:
        return f"{wanted.name} is not granted {lacking}"
    return f"{wanted.name} is granted {beyond}, and must not be"


def subject_of(one: Entry) -> str:
    """The finding's subject."""
    match one.kind:
        case "function" | "table" | "view":
            return f"{one.kind} {short(one.qualified)}"
        case "grant":
            return f"grants on {short(one.part_of)}"
        case "owner":
            return f"{one.part_of} {short(one.name)}"
    return f"{one.kind} {named(one)}"


def named(one: Entry) -> str:
    """An object and what it is part of."""
    return short(one.qualified) if one.kind in ("function", "table", "view") else f"{one.name} of {short(one.part_of)}"


def short(name: str) -> str:
    """A name without the schema public."""
    return name.removeprefix("public.")


def plural(kind: str) -> str:
    """Several of a kind."""
    return _PLURALS.get(kind, f"{kind}s")
