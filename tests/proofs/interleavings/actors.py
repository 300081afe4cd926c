"""Everybody who may take the next step."""

from collections.abc import Sequence
from typing import Final

from tests.proofs.interleavings.application import application, customers, planner, processor
from tests.proofs.interleavings.people import inbound, operator
from tests.proofs.interleavings.steps import Actor
from tests.proofs.interleavings.surroundings import carrier, poll, pruning, recovery, time_passes
from tests.proofs.interleavings.workers import workers

AT_WORK: Final[Sequence[Actor]] = (workers, time_passes, recovery)
APPLICATION: Final[Sequence[Actor]] = (application, customers, planner, processor)
EVERYBODY: Final[Sequence[Actor]] = (*AT_WORK, carrier, poll, *APPLICATION, inbound, operator, pruning)
