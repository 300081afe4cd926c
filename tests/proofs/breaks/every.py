"""All breaks, by subject."""

from typing import Final

from tests.proofs.breaks.consents import CONSENT
from tests.proofs.breaks.deliveries import DELIVERY
from tests.proofs.breaks.desk import DESK
from tests.proofs.breaks.doubts import DOUBT
from tests.proofs.breaks.entry import ENTRY
from tests.proofs.breaks.outcomes import OUTCOMES
from tests.proofs.breaks.scheduled import SCHEDULED
from tests.proofs.breaks.senders import CIRCUITS, SENDERS
from tests.proofs.breaks.sending import SENDING
from tests.proofs.breaks.together import TOGETHER

SUBJECTS: Final = {
    "sending": SENDING,
    "outcomes": OUTCOMES,
    "doubt": DOUBT,
    "consent": CONSENT,
    "delivery": DELIVERY,
    "entry": ENTRY,
    "scheduled": SCHEDULED,
    "senders": SENDERS,
    "circuits": CIRCUITS,
    "together": TOGETHER,
    "desk": DESK,
}
