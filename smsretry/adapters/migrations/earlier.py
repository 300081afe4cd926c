"""A database that an earlier state of smsretry made, which was never released, is recognized and told what to do."""

from collections.abc import Mapping
from typing import Final

from smsretry.adapters.migrations.connecting import Connection
from smsretry.errors import MigrationError

_FIRST, _LAST = "20261125000100", "20261127163500"
"""Versions of the migrations of that time."""
_IS_THERE: Final = """
select to_regclass('smsretry.suppressions') is not null,
       to_regclass('smsretry.unwritten_consents') is not null
"""
_OPT_OUTS: Final = """
       select c.business_id, c.phone as number, max(coalesce(o.since, c.sms_consent_at, now())) as date
       from public.customers c
       left join (select number_key, since from smsretry.suppressions{unwritten}) o
           on o.number_key = smsretry.number_key(c.business_id, c.phone)
       where c.phone is not null and (c.sms_consent_status = 'opted_out' or o.number_key is not null)
       group by c.business_id, c.phone order by c.business_id, date
"""
_UNWRITTEN: Final = """
                  union all select number_key, since from smsretry.unwritten_consents where consent = 'opted_out'"""
_TOLD: Final = """\
This database was made by an earlier state of smsretry that was never released, and is not migrated. Set smsretry up \
anew, and take the opt-outs along:
  1. Stop the runner. Save what this answers as CSV (`psql --csv`, or the SQL editor's download):
{query}
     Of numbers that no customer has, only a hash was kept: import those from where they came from.
  2. Remove smsretry by supabase/remove.sql (flows/HOWTO.md, "Remove it").
  3. `smsretry migrate`
  4. `smsretry import-opt-outs`, for each business.
Nothing was changed."""


def refuse_earlier_state(connection: Connection, applied: Mapping[str, str], shipped: Mapping[str, str]) -> None:
    """Compare the history's texts with those that are shipped.

    Raises:
        MigrationError: the database is of an earlier state. It says how to take the opt-outs along.
    """
    [(there, keeps_unwritten)] = connection.execute(_IS_THERE).fetchall()
    others = [
        version
        for version, text in applied.items()
        if _FIRST <= version <= _LAST or (text and _words(shipped.get(version, text)) != _words(text))
    ]
    if there or others:
        query = _OPT_OUTS.format(unwritten=_UNWRITTEN if keeps_unwritten else "")
        raise MigrationError(_TOLD.format(query=query.strip("\n")))


def _words(text: str) -> str:
    """The Supabase CLI takes a file apart into statements."""
    return "".join(text.split()).replace(";", "")
