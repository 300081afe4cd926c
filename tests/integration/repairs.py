"""What the migration after 1.0.0 made good in the rows that it found."""

from smsretry.adapters.migrations.migrate import migrations
from smsretry.adapters.migrations.sections import sections


def repairs_after_1_0() -> str:
    """Its statements about rows. They stand below those that made the triggers of that time."""
    [asking] = [migration for migration in migrations() if migration.name == "ask_before_sending_again"]
    [triggers] = [section.text for section in sections(asking.text) if section.source == "triggers"]
    return triggers[triggers.index("-- What was queued anew") :]
