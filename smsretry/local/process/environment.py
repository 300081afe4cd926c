"""What the stack's parts inherit from the environment that it was started in."""

import os
from typing import Final

from smsretry.settings import Settings

SETTINGS: Final = frozenset(
    str(field.validation_alias or name.upper()) for name, field in Settings.model_fields.items()
)
"""The variables that are settings of smsretry."""


def inherited() -> dict[str, str]:
    """This process's environment without what would steer Prefect, and without another installation's settings.

    A real account's TWILIO_MESSAGING_SERVICE_SID, say, would be taken for the stand-in's.
    """
    return {
        name: value for name, value in os.environ.items() if not name.startswith("PREFECT_") and name not in SETTINGS
    }
