"""Everything fails that can, and no text is lost, doubled, or sent when it should not be.

--scheduled: each text is a scheduled send at first. --delivery: Twilio reports what becomes of each message.
--outage 503, or refused: instead, two hours without Twilio. --blind-minutes: instead, Twilio's list lags so long.
"""

from datetime import timedelta

from smsretry.local.stack import Stack
from tests.proofs.faults.scenarios import SWITCHES, blind, everything
from tests.proofs.faults.scenarios import outage as without_twilio
from tests.proofs.town.command import main
from tests.proofs.town.report import ProofReport


def _run(
    stack: Stack,
    *,
    texts: int = 10_000,
    seed: str = "1",
    outage: str = "",
    blind_minutes: int = 0,
    scheduled: bool = False,
    delivery: bool = False,
) -> ProofReport:
    if outage:
        return without_twilio(
            stack, texts=texts, seed=seed, refused=outage == "refused"
        )
    if blind_minutes:
        return blind(
            stack, texts=texts, seed=seed, lag=timedelta(minutes=blind_minutes)
        )
    return everything(
        stack,
        texts=texts,
        seed=seed,
        scheduled=scheduled,
        delivery=delivery,
    )


if __name__ == "__main__":
    raise SystemExit(main("faults", __doc__, _run, SWITCHES))
