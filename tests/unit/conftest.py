"""What the unit tests share: a claim with nothing wrong with it, and changes to it."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from smsretry.retry.models import Claim

NOON = datetime.fromisoformat("2027-01-12T17:00:00+00:00")
"""Noon in New York, a Tuesday in winter."""


@pytest.fixture
def claim_with() -> Callable[..., Claim]:
    """Build a claim that may be sent at noon in New York, with the given fields changed."""

    def build(**changes: Any) -> Claim:
        row: dict[str, Any] = {
            "id": UUID(int=1),
            "claim_no": 7,
            "claimed_at": NOON,
            "scheduled_for": NOON - timedelta(minutes=1),
            "attempt_count": 0,
            "max_attempts": 3,
            "rate_limit_count": 0,
            "circuit_open": False,
            "attempt_id": None,
            "attempt_begun_at": None,
            "in_doubt_since": None,
            "reconcile_count": 0,
            "known_sid": None,
            "send_log_status": "pending",
            "expires_at": NOON + timedelta(days=3),
            "send_log_found": True,
            "customer_found": True,
            "body": "Hi Ann, thanks for visiting Maple Street Dental.",
            "phone": "+12125550123",
            "timezone": "America/New_York",
            "business_timezone": "America/New_York",
            "business_hours": None,
            "stopped_states": [],
            "message_class": "marketing",
        }
        return Claim.model_validate(row | changes)

    return build
