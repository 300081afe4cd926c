"""Three texts to one person in 24 hours, where a state says so: a fourth waits until there is room for it.

What counts is what may have reached the phone from this business, whoever of its customers has the number.
"""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import psycopg
import pytest

from smsretry.local.twilio.faults import AcceptThenDrop, DropUnaccepted, JsonError
from tests.integration.story import Story
from tests.support.shop import Shop
from tests.support.waiting import until

FLORIDA = "+13055550123"
DAY = timedelta(hours=24)
WHY = "Daily cap: 3 texts in 24 hours to one person (us-fl-501.616)"


def text_to(shop: Shop, customer: UUID) -> UUID:
    """One more due text to this customer; returns its row's id."""
    return shop.queue_row(shop.send_log(customer), customer)


def app_sent(shop: Shop, customer: UUID, *, at: datetime, channel: str = "sms") -> None:
    """What the application sent itself, with Twilio's name for it."""
    shop.sql(
        """update send_logs set status = 'sent', channel = %s, created_at = %s, updated_at = %s,
                                provider_message_id = jsonb_build_object('twilio_sid', 'SM' || md5(id::text))
           where id = %s""",
        *[channel, at, at, shop.send_log(customer)],
    )


STORIES = {
    "a fourth text waits until the first is a day old, to the microsecond, and loses no attempt": """
        text phone=+13055550123
        run: Sent
        20 minutes
        another text second to it
        run: Sent
        20 minutes
        another text third to it
        run: Sent
        20 minutes
        another text last to it
        run: Deferred
        select scheduled_for - (select min(finished_at) from sms_send_attempts) from sms_retry_queue \
            where id = {last}: 1 day, 0:00:00
        last.status reason why_code: pending, quiet_hours, daily_cap
        last.why: Daily cap: 3 texts in 24 hours to one person (us-fl-501.616)
        last.attempt_count last_error: 0, None
        last.sends.id:
        last waits: 1380 minutes
        1378 minutes
        claim:
        2 minutes
        run: Sent""",
    "a text of the application's counts from when it may have reached the phone, however old its log": """
        sql update businesses set sms_daily_cap = 1
        text
        sql update send_logs set status = 'sent', created_at = created_at - interval '9 days', \
            updated_at = smsretry.clock(), provider_message_id = '{"twilio_sid": "SM1"}'
        another text second to it
        run: Cancelled, Deferred
        second.why_code: daily_cap""",
    "and one of ours, however long ago its send was begun that is settled now": """
        sql update businesses set sms_daily_cap = 1
        an accepted text
        sql update sms_send_attempts set begun_at = begun_at - interval '25 hours'
        another text second to it
        run: Deferred
        second.why_code: daily_cap""",
    "a business has a cap of its own: a neighbor's texts are not counted, and one that is raised holds at once": """
        sql update businesses set sms_daily_cap = 1
        text
        neighbor's text theirs
        run: Sent, Sent
        another text second to it
        run: Deferred
        second.why_code: daily_cap
        select why like '%the business''s own%' from sms_retry_queue where id = {second}: True
        sql update businesses set sms_daily_cap = 2
        run: Sent""",
}


@pytest.mark.parametrize("story", STORIES)
def test_a_text_waits_until_there_is_room_for_it(shop: Shop, story: str) -> None:
    """With the rule; then it goes out."""
    Story(shop).tell(STORIES[story])


COUNTS = {
    "a third that was accepted": "daily_cap",
    "a third in doubt": "daily_cap",
    "a third that is under way": "daily_cap",
    "the application's own": "daily_cap",
    "to another customer with the number": "daily_cap",
    "transactional": "daily_cap",
    "refused": "go",
    "never reached the provider": "go",
    "in doubt, and it did not go out": "go",
    "an e-mail": "go",
    "one that only waits": "go",
    "the application's, a day old": "go",
    "from another business": "go",
    "to another number": "go",
    "a second in doubt, whose send log says sent": "go",
}
"""What a person had beside two texts (the last: one), and whether the next one may begin."""


def test_what_may_have_reached_the_phone_counts_and_nothing_else(shop: Shop) -> None:
    """Each person has a number of their own. A text counts once, as attempt and as send log."""
    phones = {what: f"+130555501{n:02}" for n, what in enumerate(COUNTS)}
    people = {what: shop.customer(phone=phone) for what, phone in phones.items()}
    [*_, last] = COUNTS
    for person in people.values():
        for _ in range(1 if person == people[last] else 2):
            text_to(shop, person)
    twilio, neighbor, lost = (
        shop.twilio,
        shop.neighbor(),
        "in doubt, and it did not go out",
    )
    text_to(shop, people[lost])
    twilio.fail(DropUnaccepted(), to=phones[lost], times=1)
    assert set(shop.run()) == {"Sent", "InDoubt"}
    [not_sent] = [
        row["id"]
        for row in shop.sql(
            "select id from sms_retry_queue where in_doubt_since is not null"
        )
    ]
    shop.sql(
        "select resolve_sms_doubt(%s, null, who => 'Ann', because => 'Not there')",
        not_sent,
    )
    shop.sql("update sms_retry_queue set status = 'cancelled' where id = %s", not_sent)

    for what in ("a third in doubt", last):
        twilio.fail(AcceptThenDrop(), to=phones[what])
    twilio.fail(JsonError(21211), to=phones["refused"])
    text_to(shop, shop.customer(phone=phones["to another customer with the number"]))
    text_to(shop, shop.customer(phone="+13055550199"))
    text_to(neighbor, neighbor.customer(phone=phones["from another business"]))
    app_sent(
        neighbor,
        neighbor.customer(phone=phones["from another business"]),
        at=shop.now(),
    )
    app_sent(shop, people["the application's own"], at=shop.now() - timedelta(hours=23))
    app_sent(shop, people["the application's, a day old"], at=shop.now() - DAY)
    app_sent(shop, people["an e-mail"], at=shop.now(), channel="email")
    waits = people["one that only waits"]
    shop.queue_row(shop.send_log(waits), waits, due=timedelta(hours=5))
    row = text_to(shop, people["transactional"])
    shop.sql(
        "update sms_retry_queue set message_class = 'transactional' where id = %s", row
    )
    third = {
        what: text_to(shop, people[what])
        for what in ("a third that was accepted", "a third in doubt", "refused", last)
    }
    assert set(shop.run()) == {"Sent", "InDoubt", "Failed"}
    [accepted] = twilio.ledger.entries(phones[last])[1:]
    shop.sql(
        """update send_logs set status = 'sent', provider_message_id = jsonb_build_object('twilio_sid', %s::text)
           where id = %s""",
        *[accepted.sid, shop.row(third[last])["send_log_id"]],
    )
    text_to(shop, people["a third that is under way"])
    never = text_to(shop, people["never reached the provider"])
    for claim in shop.claims():
        attempt = uuid4()
        assert shop.begin(claim, attempt, cap=3).answer == "go"
        if claim.id == never:
            shop.sql(
                "select finish_sms_attempt(%s, %s, %s, 'not_sent', 'failed', why => 'No')",
                *[claim.id, claim.claim_no, attempt],
            )

    rows = {text_to(shop, person): what for what, person in people.items()}
    assert {
        rows[claim.id]: shop.begin(claim, cap=3).answer for claim in shop.claims()
    } == COUNTS


def test_a_cap_is_one_at_least(shop: Shop) -> None:
    """A business that texts nobody is stopped."""
    with pytest.raises(psycopg.errors.CheckViolation):
        shop.sql("update businesses set sms_daily_cap = 0")


def test_of_eight_texts_to_a_number_in_one_run_three_go_out(shop: Shop) -> None:
    """Ten threads send; the neighbor's eight to the same number are another three."""
    for each in (shop, shop.neighbor()):
        people = [each.customer(phone=FLORIDA) for _ in range(2)]
        for number in range(8):
            text_to(each, people[number % 2])
    assert sorted(shop.run()) == ["Deferred"] * 10 + ["Sent"] * 6
    assert len(shop.messages) == 6
    assert shop.sql(
        "select distinct why from sms_retry_queue where status = 'pending'"
    ) == [{"why": WHY}]


@pytest.mark.parametrize(
    ("first", "second"), [("commits", "daily_cap"), ("rolls back", "go")]
)
def test_a_begin_waits_for_another_one_to_the_number_and_for_no_other(
    shop: Shop, first: str, second: str
) -> None:
    """One place is left. The first, which has no cap, is held open; another number's and another business's go on."""
    neighbor = shop.neighbor()
    rows = [text_to(shop, shop.customer(phone=FLORIDA)) for _ in range(2)]
    for _ in range(2):
        app_sent(shop, shop.row(rows[0])["customer_id"], at=shop.now())
    free = [
        text_to(shop, shop.customer(phone="+13055550188")),
        text_to(neighbor, neighbor.customer(phone=FLORIDA)),
    ]
    claims = {claim.id: claim for claim in shop.claims()}
    begin = "select answer from begin_sms_attempt(%s, %s, gen_random_uuid(), smsretry.clock() + interval '1 hour', 'x')"
    with ThreadPoolExecutor(1) as pool, shop.stack.connect() as watching:
        with shop.connection.transaction(force_rollback=first == "rolls back"):
            assert shop.sql(begin, rows[0], claims[rows[0]].claim_no) == [
                {"answer": "go"}
            ]
            assert [shop.begin(claims[row], cap=3).answer for row in free] == [
                "go",
                "go",
            ]
            waiting = pool.submit(shop.begin, claims[rows[1]], cap=3)
            until(
                lambda: watching.execute(
                    "select from pg_locks where not granted"
                ).fetchall()
            )
        assert waiting.result().answer == second


def test_the_same_begin_repeated_is_not_capped_by_itself(shop: Shop) -> None:
    """The answer was lost on its way: the last place is already its own."""
    customer = shop.customer(phone=FLORIDA)
    for _ in range(2):
        app_sent(shop, customer, at=shop.now())
    row, attempt = text_to(shop, customer), uuid4()
    claim = shop.claim()
    assert [shop.begin(claim, attempt, cap=3).answer for _ in range(2)] == ["go", "go"]
    assert len(shop.attempts_of(row)) == 1
