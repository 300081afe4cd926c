"""Do the application's own tables fit? Each misfit comes with the statement that mends it.

The rows come from `smsretry.describe_sms_tables`. What PostgreSQL or the rehearsal after a migration names by itself is
not looked for: a value that a column needs, a view in place of a table.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from pydantic import BaseModel

READ: Final = "read"
"""Text that smsretry only reads: any text type will do."""
LABEL: Final = "label"
"""The same, or an enum."""


def _columns(**names: str) -> dict[str, str]:
    return {name: type_.replace("_", " ") for type_, some in names.items() for name in some.split()}


COLUMNS: Final[Mapping[str, dict[str, str]]] = {
    "businesses": _columns(uuid="id user_id", read="timezone"),
    "customers": _columns(
        uuid="id business_id",
        read="phone timezone",
        text="phone_status sms_consent_status sms_consent_source",
        timestamp_with_time_zone="sms_consent_at",
    ),
    "send_logs": _columns(
        uuid="id business_id customer_id",
        read="subject",
        label="channel",
        text="status error_message",
        jsonb="provider_message_id",
        timestamp_with_time_zone="created_at updated_at",
    ),
    "scheduled_sends": _columns(uuid="id business_id", timestamp_with_time_zone="scheduled_for", text="status"),
    "sms_retry_queue": _columns(
        uuid="id business_id send_log_id customer_id",
        text="status last_error reason",
        integer="attempt_count max_attempts",
        timestamp_with_time_zone="scheduled_for last_attempted_at created_at updated_at",
    ),
}
"""The columns that smsretry needs, and their types."""
_FILLED: Final = {
    "business_id": "delete from public.sms_retry_queue",
    "attempt_count": "update public.sms_retry_queue set attempt_count = 0",
    "max_attempts": "update public.sms_retry_queue set max_attempts = 3",
    "scheduled_for": "update public.sms_retry_queue set scheduled_for = created_at, "
    "status = case status when 'pending' then 'cancelled' else status end",
}
"""Columns of the queue in which a null would hide its row from the claim, or break the claim's answer for every row;
and what ends such a null.
"""
_BY_DEFAULT: Final = {
    ("send_logs", "status"): "pending",
    ("send_logs", "provider_message_id"): "{}",
    ("scheduled_sends", "message_class"): "marketing",
    ("sms_retry_queue", "status"): "pending",
    ("sms_retry_queue", "message_class"): "marketing",
}
"""Columns that are left to their default, each with one that means a text that waits and keeps all rules."""
_SENT: Final = {"sent", "delivered", "undelivered"}
"""The send log statuses of a text that was sent, as in `smsretry.is_sent`."""
VALUES: Final = {
    ("customers", "phone_status"): ("invalid", "not_mobile"),
    ("customers", "sms_consent_status"): ("opted_in", "opted_out"),
    ("customers", "sms_consent_source"): ("inbound_start", "inbound_stop", "inbound_words", "twilio_21610"),
    ("send_logs", "channel"): ("sms",),
    ("send_logs", "status"): ("sent", "failed"),
    ("scheduled_sends", "message_class"): ("marketing", "transactional"),
    ("scheduled_sends", "status"): ("scheduled", "queued", "cancelled", "failed"),
    ("sms_retry_queue", "status"): ("pending", "processing", "completed", "failed", "cancelled"),
    ("sms_retry_queue", "reason"): ("quiet_hours", "twilio_error", "rate_limit"),
}
"""The values that smsretry writes into a column. A CHECK must allow them."""
_TEXTS: Final = re.compile(r'(text|citext|"?extensions"?\.citext|character varying(\(\d+\))?)')
_ONE_OF: Final = re.compile(r"\(*(\w+)\)*(?:::text)?\)* = (?:ANY \(|')")
_LITERAL: Final = re.compile(r"'((?:[^']|'')*)'")
Hanging = Mapping[tuple[str, str], str]
"""By table and column: what hangs on the column's type, in words. Not known to `smsretry doctor`."""


class Part(BaseModel):
    """A row of `describe_sms_tables`: one fact from the catalog about one table."""

    relation: str
    kind: str
    name: str
    type: str | None = None
    not_null: bool | None = None
    definition: str = ""


class Misfit(NamedTuple):
    """Something that does not fit, and what to do about it."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where} {self.what}"


def misfits(parts: Iterable[Part], hanging: Hanging | None = None) -> Iterator[Misfit]:
    """All misfits. A missing table is none: the migration creates it."""
    known = list(parts)
    for table in sorted({part.relation for part in known}):
        columns = {part.name: part for part in known if part.relation == table and part.kind == "column"}
        for name in COLUMNS[table].keys() - columns.keys():
            add = f"alter table public.{table} add column {name} {_written(table, name)}"
            yield Misfit(f"{table}.{name}", f"is missing: {add}")
    for part in known:
        match part.kind:
            case "column":
                yield from _of_column(part, hanging or {})
            case "check":
                yield from _of_check(part)
            case "rule":
                drop = f"drop rule {part.name} on public.{part.relation}"
                yield Misfit(f"{part.relation}, rule {part.name}", f"replaces what is written: {drop}")


def retyped(parts: Iterable[Part]) -> list[tuple[str, str]]:
    """Table and name of each column whose type must change."""
    return [(part.relation, part.name) for part in parts if part.kind == "column" and not _fits(part)]


def _written(table: str, column: str) -> str:
    type_ = COLUMNS[table][column]
    return "text" if type_ in (READ, LABEL) else type_


def _fits(found: Part) -> bool:
    wanted = COLUMNS[found.relation].get(found.name, found.type)
    if wanted in (READ, LABEL):
        sms = wanted == LABEL and found.definition.startswith("enum") and "'sms'" in found.definition
        return sms or bool(_TEXTS.fullmatch(found.type or ""))
    # A length limit may refuse a long error. Functions return the queue's columns, so their types must be exact.
    varying = wanted == "text" and found.type == "character varying" and found.relation != "sms_retry_queue"
    return found.type == wanted or varying


def _of_column(found: Part, hanging: Hanging) -> Iterator[Misfit]:
    table, name = found.relation, found.name
    where, alter, column = f"{table}.{name}", f"alter table public.{table}", f"alter column {name}"
    if not _fits(found):
        kind, plain = "an enum" if found.definition.startswith("enum") else found.type, _written(table, name)
        words = hanging.get((table, name), "")
        first = f"drop what hangs on its type, and make it anew afterwards ({words}); between the two " if words else ""
        # A default is cast to a text alone; the application's own migrations have it.
        drop = f"{column} drop default, " if found.definition.startswith("default") and plain != "text" else ""
        others = ", and alike each column that refers to it" if plain == "uuid" else ""
        using = f"{alter} {drop}{column} type {plain} using {name}::{plain}{others}"
        yield Misfit(where, f"is {kind}, and must be {plain}: {first}{using}")
    if table == "sms_retry_queue" and name in _FILLED and not found.not_null:
        yield Misfit(where, f"must not be null: {_FILLED[name]} where {name} is null; {alter} {column} set not null")
    if default := _BY_DEFAULT.get((table, name)):
        said = set(_LITERAL.findall(found.definition)) if found.definition.startswith("default") else set[str]()
        set_default = f"{alter} {column} set default '{default}' (or another that says so)"
        if wrong := said & _SENT if table == "send_logs" else said - {default}:
            yield Misfit(where, f"is {min(wrong)} by default, which is not what a text is that waits: {set_default}")
        elif table == "send_logs" and found.not_null and not found.definition:
            yield Misfit(where, f"must have a default, for a text that waits is given it: {set_default}")


def _of_check(found: Part) -> Iterator[Misfit]:
    table, name, allowed = found.relation, found.name, set(_LITERAL.findall(found.definition))
    for column in sorted({column for column in _ONE_OF.findall(found.definition) if (table, column) in VALUES}):
        missing = [value for value in VALUES[table, column] if value not in allowed]
        if missing and name != f"{table}_{column}":  # that one is ours
            values = ", ".join(f"'{value}'" for value in missing)
            rule = found.definition.removeprefix("CHECK ").removesuffix(" NOT VALID")
            widened = f"drop constraint {name}, add constraint {name} check ({rule} or {column} in ({values}))"
            also = ", and whatever people give as a source" if column == "sms_consent_source" else ""
            because = f"because of the constraint {name}: alter table public.{table} {widened}"
            yield Misfit(f"{table}.{column}", f"may not be {' or '.join(missing)}{also}, {because}")
