"""What is in flight can be asked by whoever holds another lock of the run, whatever a thread waits for meanwhile."""

from concurrent.futures import ThreadPoolExecutor

from smsretry.sending.in_flight import InFlight
from tests.support.builders import claim_with


def test_what_a_thread_waits_for_is_checked_while_others_may_ask() -> None:
    """Its check may take a lock that they hold: a run stood still for ever."""
    in_flight = InFlight()
    in_flight.add([claim_with()])

    with ThreadPoolExecutor(1) as others:

        def check() -> bool:
            return len(others.submit(lambda: in_flight.to_send).result(timeout=10)) == 1

        assert in_flight.wait_until(check)


def test_a_row_that_leaves_ends_the_wait() -> None:
    """Also one that left while it was checked."""
    in_flight = InFlight()
    claim = claim_with()
    in_flight.add([claim])
    checked = []

    def check() -> bool:
        checked.append(len(in_flight))
        if len(checked) == 1:
            in_flight.remove(claim)
            return False
        return True

    assert in_flight.wait_until(check)
    assert checked == [1, 0]
