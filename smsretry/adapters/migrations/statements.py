"""The statements that restore a table, a column or a constraint."""

import re

from smsretry.adapters.migrations.catalog import Entry


def altered_table(fact: str, wanted: Entry) -> str:
    """Restores one fact of a table."""
    alter = f"alter table {wanted.qualified}"
    match fact:
        case "logged":
            return f"{alter} set logged"
        case "row security":
            return f"{alter} enable row level security"
        case "forced":
            return f"{alter} no force row level security"
        case "options":
            options = [*wanted.said("options").split(", "), "autovacuum_enabled=true"]
            return f"{alter} set ({', '.join(option for option in options if option)})"
    return f"{alter} rename to {wanted.name}_before; then `smsretry migrate --again`"


def altered_column(fact: str, wanted: Entry) -> str:
    """Restores one fact of a column; for `alter table`."""
    alter, name, type_, default = "alter column", wanted.name, wanted.said("type"), wanted.said("default")
    match fact:
        case "type" if default:
            typed = f"{alter} {name} type {type_} using {name}::{type_}"
            return f"{alter} {name} drop default, {typed}, {alter} {name} set default {default}"
        case "type":
            return f"{alter} {name} type {type_} using {name}::{type_}"
        case "not null":
            return f"{alter} {name} {'set' if wanted.facts['not null'] else 'drop'} not null"
        case "default":
            return f"{alter} {name} {f'set default {default}' if default else 'drop default'}"
    if wanted.said("generated"):
        return f"{alter} {name} add generated always as identity"
    return f"{alter} {name} drop {'identity' if not default else 'expression'} if exists"


def restored_constraint(wanted: Entry, found: Entry, facts: tuple[str, ...]) -> str:
    """Makes it anew, or lets it hold again."""
    alter = f"alter table {wanted.part_of}"
    if "definition" in facts:
        added = f"add constraint {wanted.name} {wanted.said('definition')}"
        return f"{alter} drop constraint {wanted.name}, {added}"
    switched_off, statements = found.facts["switched off"], list[str]()
    if isinstance(switched_off, list):
        statements += switched_off
    return "; ".join([*statements, *([f"{alter} validate constraint {wanted.name}"] if "validated" in facts else [])])


def column_definition(wanted: Entry) -> str:
    """Type, default and the rest, as `add column` takes them."""
    default, identity = wanted.said("default"), wanted.said("generated")
    parts = [
        wanted.said("type"),
        f"default {default}" if default else "",
        "not null" if wanted.facts["not null"] else "",
    ]
    return " ".join(part for part in [*parts, "generated always as identity" if identity else ""] if part)


def quoted(name: str) -> str:
    """A name as SQL takes it."""
    return name if re.fullmatch("[a-z_][a-z0-9_]*", name) else '"{}"'.format(name.replace('"', '""'))
