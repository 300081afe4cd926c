"""A change of the schema that nobody made, to try what the next migration does."""

from collections.abc import Sequence
from dataclasses import replace

from smsretry.adapters.migrations.migrate import Migration
from smsretry.adapters.migrations.schemas import SchemaFile, migration_text, schema_files


def edited(files: Sequence[SchemaFile], changes: dict[str, tuple[str, str]]) -> list[SchemaFile]:
    """The files after a text was replaced in each of those that are named."""
    left = dict(changes)

    def edit(file: SchemaFile) -> SchemaFile:
        old, new = left.pop(file.name, ("", ""))
        assert old in file.text, f"{file.name} does not hold {old!r}"
        return replace(file, text=file.text.replace(old, new, 1)) if old else file

    result = [edit(file) for file in files]
    assert not left, f"there is no file for {', '.join(left)}"
    return result


def changed_files() -> list[SchemaFile]:
    """A column more in the table and amid the view's, other bodies, parameters more, a function new and one gone."""
    begin, defer = ("address text default null\n", "held boolean default false\n")
    files = edited(
        schema_files(),
        {
            "sms_retry_queue": (
                "    last_error text,\n",
                "    last_error text,\n    invented integer not null default 0,\n",
            ),
            "finish_sms_run": ("update smsretry.runs r", "update only smsretry.runs r"),
            "set_sms_stop": ("set why = excluded.why", "set why = coalesce(excluded.why, '')"),
            "begin_sms_attempt": (begin, begin.rstrip() + ",\n    desk text default null\n"),
            "claimed_retry": ("q.claim_no, q.claimed_at,", "q.claim_no, q.invented, q.claimed_at,"),
            "defer_sms_retry": (defer, defer.rstrip() + ", invented integer default 0\n"),
            "end_sms_retry": ("A row ends failed", "A row can end failed"),
            "backend": ("'set_sms_state_stop'", "'sms_queue_length'"),
        },
    )
    new = SchemaFile("desk/sms_queue_length.sql", _NEW)
    return [new if file.name == "set_sms_state_stop" else file for file in files]


def following(new: Sequence[SchemaFile], *, at: str = "20261201000000") -> Migration:
    """The next migration. What `create or replace` cannot change is dropped, with all that rests on it, and made."""
    return Migration(at, "invented", migration_text([_DROPPED, *(file.section for file in new)]))


_DROPPED = """\
drop view if exists smsretry.claimed_retry cascade;
drop function if exists public.set_sms_state_stop;
drop function if exists public.begin_sms_attempt;
drop function if exists public.defer_sms_retry;
"""
_NEW = """\
-- How many texts wait.
create or replace function public.sms_queue_length()
returns bigint language sql stable security invoker set search_path = pg_catalog, pg_temp as $$
    select count(*) from public.sms_retry_queue q where q.status = 'pending'
$$;
"""
