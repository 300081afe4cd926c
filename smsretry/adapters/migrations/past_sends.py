"""Scheduled sends whose time has passed when an existing installation is adopted.

Its table may use the word `scheduled` for what went out or never will. No such row becomes a text unless the owner
says so.
"""

from datetime import UTC, datetime
from typing import Final, Literal

from smsretry.adapters.migrations.connecting import Connection
from smsretry.errors import MigrationError
from smsretry.retry.policy import LIFE

PastSends = Literal["cancel", "send"]
"""What to do with them. `send` sends those that are still of use and cancels the rest."""
_ADOPTS: Final = """
select to_regproc('public.queue_scheduled_sms') is null and to_regclass('public.scheduled_sends') is not null
"""
_PAST: Final = """
select now(), count(*), count(*) filter (where s.scheduled_for <= now() - %s), min(s.scheduled_for)
from public.scheduled_sends s where s.status = 'scheduled' and s.scheduled_for <= now()
"""
_CANCEL: Final = """
update public.scheduled_sends s set status = 'cancelled', why = %s
where s.status = 'scheduled' and s.scheduled_for <= %s
"""
_WHY: Final = "Its time had passed when smsretry was set up, and `smsretry migrate --past-sends cancel` cancelled it"


def ask_about_past_sends(connection: Connection, choice: PastSends | None) -> datetime | None:
    """The time up to which scheduled sends will be cancelled after the migration; None if none will be.

    Raises:
        MigrationError: there are some, and no choice was made.
    """
    if connection.execute(_ADOPTS).fetchone() != (True,):  # ours already: it knows what is past
        return None
    [(now, past, expired, oldest)] = connection.execute(_PAST, [LIFE]).fetchall()
    if past and choice is None:
        hours = int(LIFE.total_seconds() / 3600)
        raise MigrationError(
            f"scheduled_sends holds {past} rows with the status `scheduled` whose time has passed, the first of them "
            f"on {oldest.astimezone(UTC):%Y-%m-%d %H:%M} UTC. To smsretry they are texts that are still to go out. Say "
            "what is to become of them: `--past-sends cancel` cancels them, and says why in each; `--past-sends send` "
            f"lets those go out that are late by less than {hours} hours ({past - expired}), and the first run cancels "
            f"the others ({expired}). Nothing was changed."
        )
    return now if past and choice == "cancel" else None


def cancel_past_sends(connection: Connection, until: datetime) -> None:
    """Cancel them. The table must have smsretry's columns by now."""
    connection.execute(_CANCEL, [_WHY, until])
