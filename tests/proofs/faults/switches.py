"""What can be taken away, to see that the harness notices."""

from typing import Final

from tests.proofs.faults.orders import Switch
from tests.proofs.town import safeguards
from tests.proofs.town.safeguards import Safeguard

SWITCHES: Final[dict[Switch, Safeguard]] = {
    "fence": safeguards.FENCE,
    "reconcile": safeguards.EVIDENCE,
    "quarantine": safeguards.QUARANTINE,
    "ranks": safeguards.RANKS,
    "patience": safeguards.PATIENCE,
    "codes": safeguards.CODES,
    "asking": safeguards.ASKING,
    "account": safeguards.ACCOUNT,
    "sender": safeguards.SENDER,
}
OF_DELIVERIES: Final[tuple[Switch, ...]] = ("ranks", "patience", "codes", "asking")
