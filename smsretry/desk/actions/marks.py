"""What a person says that a database is, as a form. Only production's workers text everybody, and only in one place."""

from pydantic import Field

from smsretry.desk.actions.form import NumberlessText, Request
from smsretry.vocabulary import Mark


class MarkDatabase(Request):
    """Mark the database as production at the address that the settings have, as staging, or as neither."""

    kind: Mark | None = None
    """None: take the mark away."""
    who: NumberlessText = Field(min_length=1, max_length=200)
    because: NumberlessText = Field(min_length=1, max_length=500)
