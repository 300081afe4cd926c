"""Tenants: the well-behaved ones, those who want more than their turn, and those whose rows or people make trouble."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from smsretry.local.twilio.faults import (
    AcceptThenDrop,
    AcceptThenWait,
    DropUnaccepted,
    HtmlError,
    JsonError,
    SendFault,
)
from tests.proofs.town.luck import dice
from tests.proofs.town.street import WELL_BEHAVED, Life, Neighbor, Street
from tests.proofs.town.texts import Text, enqueue, plan, write, write_people

_YESTERDAY = -60 * 24
"""Minutes: due a day before everybody else's, so that they come first wherever the oldest does."""
_OPEN_ENDS = (
    "(pending|processing): ",
    "in doubt: ",
    "held: ",
    "completed",
    "cancelled: Expired",
)
_MEGABYTE = 1_000_000


def well_behaved(texts: int) -> Neighbor:
    """Five ordinary businesses with ordinary texts. Nothing of all this is their business. Two have own senders."""

    def live(street: Street) -> None:
        senders = {
            1: street.senders.open("a service"),
            3: street.senders.open("a number", foreign=True),
        }
        shops = [street.open(f"shop {n}", sender=senders.get(n)) for n in range(5)]
        business_texts = [
            street.text(
                WELL_BEHAVED,
                dice(street.seed, "due", n) * street.busy,
                business_id=shops[n % 5],
            )
            for n in range(texts)
        ]
        write(street.connection, business_texts)

    return live


def flood(texts: int) -> Neighbor:
    """So many texts at once."""

    def live(street: Street) -> None:
        street.move_in("flood", [-30 + n / 1000 for n in range(texts)])

    return live


def backlog(per_shop: int) -> Neighbor:
    """Sixty businesses, each with texts that are older than anybody else's; some write the year 2000 into them."""

    def live(street: Street) -> None:
        shops = [street.open(f"backlog {n}") for n in range(60)]
        overdue = {"queued": {"scheduled_for": datetime(2000, 1, 1, tzinfo=UTC)}}
        texts = [
            street.text(
                "backlog",
                -30,
                business_id=shops[n % 60],
                **(overdue if n % 3 == 0 else {}),
            )
            for n in range(60 * per_shop)
        ]
        write(street.connection, texts)

    return live


def scheduled_flood(texts: int) -> Neighbor:
    """Hundreds are planned for one minute, and a well-behaved business plans one for a minute later.

    Whoever makes texts of scheduled sends has time for twenty a minute.
    """

    def live(street: Street) -> Life:
        planner, theirs = (
            street.open("planned"),
            street.open("flood of scheduled sends"),
        )
        planned = [
            street.text(WELL_BEHAVED, 1 + n, business_id=planner) for n in range(3)
        ]
        planned += [
            street.text("flood of scheduled sends", -10, business_id=theirs)
            for _ in range(texts)
        ]
        plan(street.connection, planned)
        while True:
            yield
            queued = street.connection.execute(
                "select scheduled_id, retry_id from queue_scheduled_sms(20, interval '0')"
            )
            rows = {row["scheduled_id"]: row["retry_id"] for row in queued}
            for text in planned:
                text.retry_id = rows.get(text.send_log_id, text.retry_id)
            street.counts["scheduled sends that became texts"] += len(rows)

    return live


def refused(
    owner: str,
    shops: int,
    every: int,
    country: str = "+1212",
    zone: str = "America/New_York",
) -> Neighbor:
    """Shops that text people whom their account's sender cannot reach: Twilio's 21606, and new ones all day.

    Args:
        every: how many shops have a new text in each minute.
        country: the beginning of the numbers.
    """

    def texts(street: Street, minute: int, numbers: range) -> list[Text]:
        texts = [
            street.text(
                owner,
                minute + _YESTERDAY,
                business_id=street.business(f"{owner} {n % shops}"),
                phone=f"{country}{len(street.texts) % 10_000_000 + 3_000_000:07}",
                zone=zone,
                may_end=("held: Twilio 21606", "pending: "),
            )
            for n in numbers
        ]
        street.meets(JsonError(21606, http_status=400), texts)
        return texts

    def live(street: Street) -> Life:
        for n in range(shops):
            street.open(f"{owner} {n}")
        write(street.connection, texts(street, -1, range(max(shops, 12))))
        while (n := (yield from street.tick())) < street.busy:
            write(
                street.connection, texts(street, n, range(n * every, (n + 1) * every))
            )

    return live


def comes_to_nothing(owner: str, fault: SendFault, texts: int) -> Neighbor:
    """One business's texts get a firewall's page, an error of the server's, no answer, or are to wait, all day."""

    def live(street: Street) -> None:
        dues = [_YESTERDAY + n / 60 for n in range(texts)]
        street.meets(fault, street.move_in(owner, dues, may_end=_OPEN_ENDS))

    return live


def slow_answers(texts: int, at_once: int, seconds: float) -> Neighbor:
    """A well-behaved business's texts, each answered later than a text waits for its place.

    Args:
        at_once: how many are due together, every other minute. The run's limit is everybody's: a business that wants
            more of it than its share waits for its turns like anybody else.
    """

    def live(street: Street) -> None:
        dues = [1 + street.busy // 5 + n // at_once * 2 for n in range(texts)]
        late = AcceptThenWait(timedelta(seconds=seconds))
        street.meets(late, street.move_in(WELL_BEHAVED, dues))

    return live


def refused_beside_good(good: int) -> Neighbor:
    """A well-behaved business has a dozen older texts to a country that its account has no permission for: 21408."""

    def live(street: Street) -> None:
        owner, ends = "refused beside good", ("held: Twilio 21408", "pending: ")
        refused = street.move_in(owner, [_YESTERDAY] * 12, may_end=ends)
        street.meets(JsonError(21408, http_status=400), refused)
        business = street.business(owner)
        texts = [
            street.text(WELL_BEHAVED, n, business_id=business) for n in range(good)
        ]
        write(street.connection, texts)

    return live


def senders_down(count: int, shops: int) -> Neighbor:
    """Each minute another sender goes down for good. Its businesses are new, so they have their turns first."""

    def live(street: Street) -> Life:
        start = street.busy // 5
        yield from street.until(start)
        for n in range(start, start + count):
            owner, sender = "senders that are down", street.senders.open("down", n)
            texts = [
                street.text(
                    owner,
                    n,
                    business_id=street.open(f"{owner} {n} {shop}", sender=sender),
                    may_end=(*_OPEN_ENDS, "failed: Gave up after"),
                )
                for shop in range(shops)
            ]
            street.meets(DropUnaccepted(), texts)
            write(street.connection, texts)
            yield

    return live


def poor(good: int, count: int = 300) -> list[Neighbor]:
    """Tenants whose own texts come to nothing: it is their trouble, and nobody else's."""
    return [
        well_behaved(good),
        comes_to_nothing("a firewall's page", HtmlError(http_status=403), count),
        comes_to_nothing("a broken server", HtmlError(http_status=500), count),
        comes_to_nothing("dropped answers", AcceptThenDrop(), count),
        comes_to_nothing(
            "throttled recipients",
            JsonError(99429, http_status=429, retry_after=timedelta(hours=1)),
            count,
        ),
        refused("a chain", 60, 10, "+44793", "Europe/London"),
    ]


def broken_settings(street: Street) -> Life:
    """A business breaks its hours and mends them; and a state is stopped for a while."""
    dues = [1 + n * street.busy / 8 for n in range(6)]
    street.move_in("broken settings", dues)
    louisiana = {
        "business_id": street.business("stopped state"),
        "zone": "America/Chicago",
    }
    there = [
        street.text("stopped state", due, phone=f"+1504555{n:04}", **louisiana)
        for n, due in enumerate(dues[:4])
    ]
    street.open("stopped state", zone="America/Chicago")
    write(street.connection, there)
    hours = "update businesses set sms_hours = %s where id = %s"
    yield from street.until(1)
    # The bounds on hours pass what closes before it opens.
    street.connection.execute(
        hours, ["18:00-09:00", street.business("broken settings")]
    )
    street.connection.execute("select set_sms_stop('state', 'LA', 'Hurricane')")
    yield from street.until(street.busy - 1)
    rows = street.connection.execute(
        "select id from sms_retry_queue where held_since is not null and why <> ''"
    )
    street.counts["held before the mending"] += len(rows.fetchall())
    street.connection.execute(
        hours, ["09:00-18:00", street.business("broken settings")]
    )
    street.connection.execute("select set_sms_stop('state', 'LA', null)")


# -- rows that hold what no row should ---------------------------------------------------------------------------------

_BODIES = (
    ("", "failed: Text is empty"),
    (None, "failed: Text is empty"),
    (" \n\t ", "failed: Text is empty"),
    ("x" * 4 * _MEGABYTE, "failed: Text is longer"),
    ("😀" * 801, "failed: Twilio 21617"),
    ("{{name}} \\u0000 %s {0} $$", "completed"),
)
_NUMBERS = (
    "",
    " ",
    "+",
    "５５５",
    "call me",
    "9" * _MEGABYTE,
    "+12125550123;ext=1",
    "+1212555012\n",
    None,
)
_ZONES = ("", "America/New_York\n", "-05:00", "EST")
_NO_ZONES = ("Mars/Olympus", "../../etc/passwd", "z" * _MEGABYTE, "UTC+25")
_ROWS: Final[tuple[tuple[dict[str, Any], str], ...]] = (
    ({"last_error": "e" * 2000}, "completed"),
    ({"attempt_count": 10, "max_attempts": 10}, "failed: Gave up after 10 attempts"),
    ({"attempt_count": 0, "max_attempts": 1}, "completed"),
    ({"attempt_count": 9, "max_attempts": 10, "reason": "rate_limit"}, "completed"),
    ({"reason": None, "last_error": ""}, "completed"),
)
_BOUNDS = "sms_retry_queue_instants"


def odd_values(street: Street) -> Life:
    """Writes whatever a tenant may write, and some that no worker can read."""

    def text(end: str, **options: Any) -> Text:
        return street.text(
            "odd values", len(street.texts) * 7 % street.busy, may_end=(end,), **options
        )

    no_number = "(failed|held): .*(number|E.164)"
    texts = [
        *(text(end, body=body) for body, end in _BODIES),
        *(text(no_number, phone=phone) for phone in _NUMBERS),
        *(text("completed", zone=zone) for zone in _ZONES),
        *(text("held: customers.timezone", zone=zone) for zone in _NO_ZONES),
        *(text(end, queued=row) for row, end in _ROWS),
    ]
    street.open("odd values")
    write(street.connection, texts)
    unread = [
        text(
            "failed: Columns of its row, its customer or its business cannot be read: scheduled_for"
        )
        for _ in range(2)
    ]
    write_people(street.connection, unread)
    constraint = street.connection.execute(
        "select pg_get_constraintdef(oid) as bounds from pg_constraint where conname = %s",
        [_BOUNDS],
    ).fetchone()
    assert constraint is not None
    street.connection.execute(
        f"alter table sms_retry_queue drop constraint {_BOUNDS}".encode()
    )  # somebody does that
    try:
        for odd_text, instant, minute in zip(
            unread,
            ("-infinity", "0044-03-15 12:00+00 BC"),
            (1, street.busy // 2),
            strict=True,
        ):
            yield from street.until(minute)
            odd_text.queued["scheduled_for"] = instant
            enqueue(street.connection, odd_text)
        while True:
            yield
    finally:
        street.connection.execute(
            "update sms_retry_queue set scheduled_for = now() where scheduled_for < '2000-01-01'; "
            f"alter table sms_retry_queue add constraint {_BOUNDS} {constraint['bounds']}".encode()
        )
