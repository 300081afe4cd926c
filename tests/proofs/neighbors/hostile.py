"""Rows of senders as nobody should write them: rates and caps at their bounds, odd names, and thousands of them."""

from typing import Any, Final

from tests.proofs.neighbors.senders import open_sender
from tests.proofs.neighbors.street import Neighbor, Street
from tests.proofs.neighbors.texts import new_id, open_business, write

_ODD: Final[tuple[dict[str, Any], ...]] = (
    {"segments_per_second": 0.01},
    {"segments_per_second": 0.01, "segments_per_day": 2_147_483_647},
    {"segments_per_second": 1000.0},
    {"segments_per_day": 1},
    {"account": "A" * 64},
    {"account": "00000000"},
    {"sent_by": "00000000"},
    {"sent_by": "+1234567"},
    {"sent_by": "MG" + "z" * 62},
    {"paused_because": "💥%s{0}\\u0000'\"; drop table senders; --" * 9},
)
_WRITE: Final = """
    insert into smsretry.senders (account, sent_by, segments_per_second, segments_per_day, paused_because, paused_at)
    values (%(account)s, %(sent_by)s, %(segments_per_second)s, %(segments_per_day)s, %(paused_because)s,
            case when %(paused_because)s::text is not null then smsretry.clock() end)
    returning id
"""
_MANY: Final = """
    with made as (
        insert into smsretry.senders (account, sent_by)
        select 'AC' || md5('account' || n %% 100), 'MG' || md5('sender' || n) from generate_series(1, %(many)s) n
        returning id, sent_by),
    shops as (
        insert into businesses (id, user_id, name, timezone)
        select md5(m.sent_by)::uuid, gen_random_uuid(), 'Business', 'America/New_York' from made m
        returning id)
    insert into smsretry.business_senders (business_id, sender_id)
    select md5(m.sent_by)::uuid, m.id from made m, (select count(*) from shops) once
"""


class HostileSenders(Neighbor):
    """Each odd row is a business's own sender; and three thousand businesses have one each, and nothing to send."""

    name = "odd senders"
    _each: Final = 3

    def __init__(self, many: int = 3000) -> None:
        self._many = many

    def move_in(self, street: Street) -> None:
        for n, odd in enumerate(_ODD):
            sender = open_sender(street, f"{self.name} {n}", foreign=bool(n % 2))
            known = {
                "account": sender.account, "sent_by": sender.sent_by, "segments_per_second": None,
                "segments_per_day": None, "paused_because": None,
            }  # fmt: skip
            business_id = new_id(street.seed, "business", self.name, n)
            open_business(street.connection, business_id)
            row = street.connection.execute(_WRITE, known | odd).fetchone()
            assert row is not None
            for message_class in ("any", "marketing", "transactional"):
                street.connection.execute(
                    "insert into smsretry.business_senders (business_id, message_class, sender_id) values (%s, %s, %s)",
                    [business_id, message_class, row["id"]],
                )
            texts = [
                street.text(
                    self.name,
                    n * self._each + m,
                    m * street.busy / self._each,
                    business_id=business_id,
                    may_end=("completed", "(pending|held): "),
                )
                for m in range(self._each)
            ]
            write(street.connection, texts)
        street.connection.execute(_MANY, {"many": self._many})
