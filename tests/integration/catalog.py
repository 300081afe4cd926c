"""A database of a test's own, and what is said of its schema."""

from typing import NamedTuple

from smsretry.adapters.migrations.checksums import findings
from tests.support.records import Connection, Record


class Database(NamedTuple):
    """A database: its URL, and a connection of its owner's in autocommit."""

    url: str
    connection: Connection

    def rows(self, query: str, *values: object) -> list[Record]:
        """The rows of a query."""
        return self.connection.execute(query.encode(), values).fetchall()

    def single_row(self, query: str, *values: object) -> Record:
        """The one row of a query."""
        [row] = self.rows(query, *values)
        return row

    def run(self, statements: str | bytes) -> None:
        """Statements without a result."""
        self.connection.execute(
            statements.encode() if isinstance(statements, str) else statements
        )

    def applied(self) -> list[str]:
        """What the history says was applied."""
        history = self.rows(
            "select version || '_' || name as file from supabase_migrations.schema_migrations order by 1"
        )
        return [row["file"] for row in history]


def complaints(connection: Connection) -> dict[str, str]:
    """What the doctor says of our objects that is wrong, or a warning, by subject."""
    [row] = connection.execute("select examine_sms_retries() as said").fetchall()
    return {
        finding.subject: finding.advice
        for finding in findings(row["said"])
        if finding.advice
    }
