"""Lists of columns that must say the same say the same, by the catalog."""

from typing import Any

import psycopg

from smsretry.retry.models import Claim
from tests.conftest import Business


def columns(connection: psycopg.Connection[dict[str, Any]], view: str) -> list[tuple[str, str]]:
    """Name and type of each column, in order."""
    found = connection.execute(
        """select attname as name, format_type(atttypid, atttypmod) as type from pg_attribute
           where attrelid = %s::regclass and attnum > 0 and not attisdropped order by attnum""",
        [view],
    )
    return [(row["name"], row["type"]) for row in found]


def test_a_scheduled_send_is_told_in_the_columns_of_a_text(business: Business) -> None:
    """They are put together by their places: two of one type, the wrong way round, would go unnoticed."""
    of_text = columns(business.connection, "smsretry.claimed_retry")
    assert columns(business.connection, "smsretry.scheduled_claim") == of_text


def test_a_claim_reads_no_column_that_the_view_has_not(business: Business) -> None:
    """A field that has a default would have it for good. What concerns the whole claim is said once."""
    of_a_row = set(Claim.model_fields) - {"stopped_states", "longest_body"}
    assert of_a_row <= {name for name, _ in columns(business.connection, "smsretry.claimed_retry")}
