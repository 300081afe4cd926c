"""What any request may ask for in its headers, and the refusal of what this endpoint does not know.

PostgREST knows more: other media types, preferences, ranges. A request for any of that is refused, and never answered
as if it had not asked.
Sources: https://docs.postgrest.org/en/v13/references/api/preferences.html, .../media_type_handlers.html,
.../schemas.html
"""

from typing import Final

from starlette.requests import Request

from smsretry.local.postgrest.errors import Refusal, refusal

JSON: Final = "application/json; charset=utf-8"
SCHEMA: Final = "public"
READS: Final = ("GET", "HEAD")
_ANSWERED: Final = {"application/json", "application/*", "*/*"}
_OF_POSTGREST: Final = ("text/csv", "application/vnd.pgrst", "application/geo+json", "application/openapi+json")
_PREFERENCES: Final = {
    "return", "handling", "resolution", "missing", "tx", "count", "timezone", "max-affected",
}  # fmt: skip


def check_schema(request: Request) -> None:
    """Only the one schema is exposed. Raises Refusal."""
    schema = request.headers.get("accept-profile" if request.method in READS else "content-profile", SCHEMA)
    if schema != SCHEMA:
        hint = f"Only the following schemas are exposed: {SCHEMA}"
        raise refusal(406, "PGRST106", f"Invalid schema: {schema}", hint=hint)


def check_media_type(request: Request) -> None:
    """Only JSON is answered. Raises Refusal."""
    wanted = [entry.strip() for entry in ", ".join(request.headers.getlist("accept") or ["*/*"]).split(",")]
    if any(entry.partition(";")[0].strip() in _ANSWERED for entry in wanted):
        return
    if any(entry.startswith(_OF_POSTGREST) for entry in wanted):
        raise not_here(f"the media type {', '.join(wanted)}")
    raise refusal(406, "PGRST107", f"None of these media types are available: {', '.join(wanted)}")


def preferences(request: Request) -> dict[str, str]:
    """The preferences that PostgREST has, by name. Others are ignored. Raises Refusal: handling is strict."""
    wanted = [entry.strip() for entry in ", ".join(request.headers.getlist("prefer")).split(",") if entry.strip()]
    by_name = {name: value for name, _, value in (entry.partition("=") for entry in wanted)}
    unknown = [entry for entry in wanted if entry.partition("=")[0] not in _PREFERENCES]
    if by_name.get("handling") == "strict" and unknown:
        details = f"Invalid preferences: {', '.join(unknown)}"
        raise refusal(400, "PGRST122", "Invalid preferences given with handling=strict", details=details)
    return {name: value for name, value in by_name.items() if name in _PREFERENCES}


def not_here(what: str) -> Refusal:
    """The refusal of something that PostgREST does and this endpoint does not."""
    details = f"The stand-in for PostgREST does not know {what}"
    hint = "smsretry/local/README.md lists what it knows. Supabase itself may well answer this request."
    return refusal(400, "PGRST127", "Feature not implemented", details=details, hint=hint)
