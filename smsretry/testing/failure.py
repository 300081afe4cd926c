"""What stood in the queue when a test failed: pytest shows it below the failure. It has no phone number and no body."""

from typing import Final

import psycopg

from smsretry.testing.stack import SmsStack

_MOST: Final = 20
_ROWS: Final = """
    select id, status, why_code, coalesce(why, last_error, '') as why, scheduled_for, count(*) over () as texts
    from sms_retry_queue order by created_at, id limit %s
"""


def told(stack: SmsStack) -> str:
    """A line for each text, the first 20 of them. It raises nothing: the test's own failure is what counts."""
    try:
        rows = stack.connection().execute(_ROWS.encode(), [_MOST]).fetchall()
    except psycopg.Error as error:
        return f"The queue cannot be read: {type(error).__name__}"
    texts = rows[0]["texts"] if rows else 0
    lines = [f"By the stack's clock it is {stack.clock.now:%Y-%m-%d %H:%M:%S} UTC. Texts in the queue: {texts}"]
    for row in rows:
        due = f", due {row['scheduled_for']:%Y-%m-%d %H:%M:%S}" if row["status"] == "pending" else ""
        why = f" [{row['why_code']}] {row['why']}" if row["why_code"] or row["why"] else ""
        lines.append(f"{row['id']} {row['status']}{due}{why}")
    if texts > len(rows):
        lines.append(f"… and {texts - len(rows)} more")
    return "\n".join([*lines, f"Messages that Twilio accepted: {len(stack.twilio.sent)}"])
