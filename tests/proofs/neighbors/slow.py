"""Neighbors whose rows take the database long: triggers of the application's, locks, megabytes, answers cut off."""

from typing import Final

from tests.proofs.neighbors.street import Neighbor, Street
from tests.proofs.neighbors.texts import Connection, Text, new_id

_TRIGGER: Final = """
create or replace function public.{name}() returns trigger language plpgsql as $$
begin
    if new.business_id = '{business}' and {when} then {does}; end if;
    return new;
end $$;
create or replace trigger {name} before update on public.sms_retry_queue
for each row execute function public.{name}();
"""


class _WithTrigger(Neighbor):
    """The application has a trigger on the queue, which does something for this tenant alone."""

    trigger = ""
    when = ""
    does = ""

    def make(self, street: Street) -> None:
        """Create the trigger."""
        business = new_id(street.seed, "business", self.name)
        words = {"name": self.trigger, "business": business, "when": self.when, "does": self.does}
        street.connection.execute(_TRIGGER.format(**words).encode())

    def move_out(self, street: Street) -> None:
        street.connection.execute(f"drop trigger if exists {self.trigger} on public.sms_retry_queue".encode())
        street.connection.execute(f"drop function if exists public.{self.trigger}()".encode())


class Sleeper(_WithTrigger):
    """Its sends begin slowly: in one group they would take longer than anybody waits."""

    name, trigger = "sleeping trigger", "neighbor_sleeps"
    when, does = "new.begun_at is not null and old.begun_at is null", "perform pg_sleep(0.3)"

    def __init__(self, texts: int = 12) -> None:
        self._texts = texts

    def move_in(self, street: Street) -> None:
        street.move_in(self.name, [street.text(self.name, n, street.busy // 3) for n in range(self._texts)])
        self.make(street)


class SlowClaims(_WithTrigger):
    """Its rows are slow to claim and to take back."""

    name, trigger = "slow claims", "neighbor_is_slow"
    when, does = "new.status <> old.status", "perform pg_sleep(0.3)"

    def move_in(self, street: Street) -> None:
        street.move_in(self.name, [street.text(self.name, n, street.busy // 4) for n in range(6)])
        self.make(street)


class Refuser(_WithTrigger):
    """For some minutes nobody may claim its rows."""

    name, trigger = "refusing trigger", "neighbor_refuses"
    when, does = "new.status = 'processing' and old.status = 'pending'", "raise exception 'Not now'"

    def move_in(self, street: Street) -> None:
        street.move_in(self.name, [street.text(self.name, n, street.busy // 4) for n in range(5)])

    def minute(self, street: Street, n: int) -> None:
        if n == street.busy // 4:
            self.make(street)
        if n == street.busy // 2:
            self.move_out(street)


class ThirtyLocked(Neighbor):
    """An operator's transaction holds thirty customers locked while their texts are due."""

    name = "thirty locked rows"

    def __init__(self) -> None:
        self._holding: Connection | None = None
        self._texts: list[Text] = []

    def move_in(self, street: Street) -> None:
        self._texts = [street.text(self.name, n, street.busy // 2) for n in range(30)]
        street.move_in(self.name, self._texts)

    def minute(self, street: Street, n: int) -> None:
        if n == street.busy // 2:
            self._holding = street.stack.connect()
            self._holding.autocommit = False
            customers = [text.customer_id for text in self._texts]
            self._holding.execute("select 1 from customers where id = any (%s) for update", [customers])
        if n == street.busy // 2 + 1:
            self.move_out(street)

    def move_out(self, street: Street) -> None:
        if self._holding:
            self._holding.close()
            self._holding = None


class Megabytes(Neighbor):
    """Its customers' consents have a source of ten megabytes each."""

    name = "megabytes of consent"

    def move_in(self, street: Street) -> None:
        street.move_in(self.name, [street.text(self.name, n, 1 + n) for n in range(8)])
        street.connection.execute(
            "update customers set sms_consent_source = repeat('a form on our page ', 500000) where business_id = %s",
            [new_id(street.seed, "business", self.name)],
        )


class ShortAnswers(Neighbor):
    """Somebody has set the project's max-rows to ten."""

    name = "max-rows of ten"

    def minute(self, street: Street, n: int) -> None:
        street.stack.rpc_faults.max_rows = 10

    def move_out(self, street: Street) -> None:
        street.stack.rpc_faults.max_rows = None


def slow() -> list[Neighbor]:
    """Those that live beside everybody. With short answers, other claims meet the workers' deaths."""
    return [Sleeper(), SlowClaims(), Refuser(), ThirtyLocked(), Megabytes()]
