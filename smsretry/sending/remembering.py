"""What a run remembers of its senders for the next one, and what it says of those that have stopped."""

from smsretry.privacy import masked_sender
from smsretry.sending.flow_control import FlowControl
from smsretry.sending.ports import Circuits
from smsretry.sending.senders import Senders
from smsretry.sending.summary import StoppedSender

EVERYBODY = ""
"""Whose circuit the provider's own is."""


def remember(senders: Senders, circuits: Circuits) -> None:
    """Store whether sending works: of each sender by itself, and of everybody."""
    for key, control in senders.each.items():
        _remember(key, control, circuits, own=control is not senders.environment)
    outage = senders.run.outage  # at last: the environment's circuit, as it closes, closes everybody's
    if outage.open_because:
        circuits.set_circuit(outage.open_because, sender=EVERYBODY)
    elif outage.probes.was_open and outage.sends.successful:
        circuits.set_circuit(None, sender=EVERYBODY)


def _remember(key: str, control: FlowControl, circuits: Circuits, *, own: bool) -> None:
    breaker, outage = control.breaker, control.run.outage
    if breaker.open_because:
        circuits.set_circuit(breaker.open_because, sender=key, own=own)
    elif breaker.probes.was_open and control.sending_works:
        circuits.set_circuit(None, sender=key, own=own)
    # In an outage it is nobody's own trouble; the next run tries others first.
    failing = breaker.to_remember | (breaker.sends.failing if outage.open_because else set())
    if failing:
        circuits.set_circuit(breaker.last_failure, sender=key, businesses=failing, own=own)
    if works := breaker.to_forget - failing:
        circuits.set_circuit(None, sender=key, businesses=works, own=own)


def stopped_senders(senders: Senders) -> list[StoppedSender]:
    """Businesses' own senders that have stopped for trouble of their own."""
    return [
        StoppedSender(
            sender=masked_sender(key),
            why=why,
            is_news=not control.breaker.probes.was_open,
            businesses=len(control.businesses),
        )
        for key, control in senders.each.items()
        if control is not senders.environment and (why := control.open_because)
    ]


def resumed_senders(senders: Senders) -> list[str]:
    """Businesses' own senders that had stopped before this run, and work."""
    return [
        masked_sender(key)
        for key, control in senders.each.items()
        if control is not senders.environment
        and control.breaker.probes.was_open
        and control.sending_works
        and not control.open_because
    ]
