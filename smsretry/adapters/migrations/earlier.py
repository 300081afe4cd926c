"""A database that an earlier state of smsretry made, which was never released, is recognized and told what to do."""

from collections.abc import Mapping
from typing import Final

from smsretry.adapters.migrations.connecting import Connection
from smsretry.errors import MigrationError

_FIRST: Final = ("20261124000100", "20261125000100")
"""Versions of the first migration of that time. The application may have others of the same days."""
_KEPT: Final = {
    "standing_opt_outs": "select number_key, coalesce(dated, at) as since from smsretry.standing_opt_outs",
    "suppressions": "select number_key, since from smsretry.suppressions",
    "unwritten_consents": "select number_key, since from smsretry.unwritten_consents where consent = 'opted_out'",
}
"""Where opt-outs were kept beside the customers' rows, at one time or another; and what was kept there."""
_OPT_OUTS: Final = """\
       select c.business_id, c.phone as number, max(coalesce(o.since, c.sms_consent_at, now())) as date
       from public.customers c
       left join ({kept}) o
           on o.number_key = smsretry.number_key(c.business_id, c.phone)
       where c.phone is not null and (c.sms_consent_status = 'opted_out' or o.number_key is not null)
       group by c.business_id, c.phone order by c.business_id, date"""
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


def refuse_earlier_state(
    connection: Connection, applied: Mapping[str, str], shipped: Mapping[str, str]
) -> None:
    """Compare the history's texts with those that are shipped.

    Raises:
        MigrationError: the database is of an earlier state. It says how to take the opt-outs along.
    """
    found = connection.execute(
        "select name from unnest(%s::text[]) name where to_regclass('smsretry.' || name) is not null",
        [list(_KEPT)],
    ).fetchall()
    is_earlier = ("suppressions",) in found or any(
        version in _FIRST
        or (text and _words(shipped.get(version, text)) != _words(text))
        for version, text in applied.items()
    )
    if is_earlier:
        kept = "\n                  union all ".join(
            _KEPT[name] for (name,) in found or [("standing_opt_outs",)]
        )
        raise MigrationError(_TOLD.format(query=_OPT_OUTS.format(kept=kept)))


def _words(text: str) -> str:
    """The Supabase CLI takes a file apart into statements."""
    return "".join(text.split()).replace(";", "")
