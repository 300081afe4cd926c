"""All breaks, by subject."""

from typing import Final

from tests.proofs.breaks.consents import CONSENT
from tests.proofs.breaks.deliveries import DELIVERY
from tests.proofs.breaks.doubts import DOUBT
from tests.proofs.breaks.levers import DESK, SENDERS
from tests.proofs.breaks.planned import SCHEDULED
from tests.proofs.breaks.sending import SENDING

SUBJECTS: Final = {
    "sending": SENDING, "doubt": DOUBT, "consent": CONSENT, "delivery": DELIVERY, "scheduled": SCHEDULED,
    "senders": SENDERS, "desk": DESK,
}  # fmt: skip
