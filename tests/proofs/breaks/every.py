"""All breaks, by subject."""

from typing import Final

from tests.proofs.breaks.consents import CONSENT
from tests.proofs.breaks.deliveries import DELIVERY
from tests.proofs.breaks.doubts import DOUBT
from tests.proofs.breaks.outcomes import OUTCOMES
from tests.proofs.breaks.sending import SENDING

SUBJECTS: Final = {
    "sending": SENDING,
    "outcomes": OUTCOMES,
    "doubt": DOUBT,
    "consent": CONSENT,
    "delivery": DELIVERY,
}
