"""What an order did to the texts it found, or would do, in the terminal."""

from typing import TYPE_CHECKING

import typer

from smsretry.cli.printing import note, tell, tell_all, tell_json

if TYPE_CHECKING:
    from smsretry.desk.questions.records import Change, ChangedRow


def tell_change(
    change: "Change", *, limit: int, done: str, did: bool, as_json: bool, on_record: str | None = None
) -> None:
    """Tell it, or say that no text fits. Ends the command with 1 then, unless something is on record now.

    Args:
        limit: how many it was to find at most.
        done: what was to be done, such as `requeued`.
        did: whether it was done, and not only tried.
        on_record: what was done besides, whether or not a text fits.
    """
    if as_json:
        tell_json({"dry_run": not did, **change.model_dump(mode="json")})
    elif change.matched:
        tell(f"{'Were' if did else 'Would be'} {done}: {change.changed} of {change.matched} that fit.", style="bold")
        tell_all(f"  left alone {texts}: {why}" for why, texts in change.skipped.items())
        tell_all(f"  beware of {texts}: {why}" for why, texts in change.warned.items())
        for row in change.sample:
            _tell_row(row)
        if len(change.sample) < change.matched:
            tell(f"… and {change.matched - len(change.sample)} more")
        if change.matched == limit:
            tell(f"These are the newest {limit}; there may be more: call again, or --limit.", style="bold")
        if not did:
            tell("Nothing was changed. To do it, add --yes --because '…'.", style="bold")
    if on_record and did and not as_json:
        tell(on_record, style="bold")
    if not change.matched and not (on_record and did):
        note("No text fits all that was given. `smsretry explain` tells of one text, `smsretry status` of all.")
        raise typer.Exit(1)


def _tell_row(row: "ChangedRow") -> None:
    tell(f"row {row.retry_id}")
    attempts = f"{row.attempts} attempt{'' if row.attempts == 1 else 's'}"
    tell(f"    customer {row.customer_id or 'is gone'}, {row.number or 'without a number'}")
    tell(f"    {row.message_class}, {attempts}{': ' + row.was if row.was else ''}")
    if row.skipped or row.warned:
        tell(f"    {'left alone' if row.skipped else 'beware'}: {row.skipped or row.warned}")
