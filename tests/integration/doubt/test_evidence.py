"""What is evidence of a text in doubt: it is compared with what was sent, and what is ambiguous is held.

Texts that are alike, clocks that step, and lists that say less than they should.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import pytest

from smsretry.local.twilio.faults import (
    AcceptThenDrop,
    DropUnaccepted,
    EndlessList,
    ListLag,
    SendFault,
)
from smsretry.retry.profile import DEFAULT
from smsretry.sending.reconciling import reconcile
from tests.integration.doubt.doubting import (
    LOOK,
    in_doubt,
    live,
    record,
    sent_unrecorded,
)
from tests.support.builders import BODY, PHONE
from tests.support.claims import claim_doubtful
from tests.support.shop import Shop

SHORT = "Reminder: your visit is tomorrow"
LONG = f"{SHORT} at 10:00. Please bring your card."
TAIL = "Please bring your card and come ten minutes early."
FOOTER = " Reply STOP to unsubscribe."


def an_hour(shop: Shop, minutes: int = 125) -> None:
    """Long enough for a held text to be looked at again; at first each is looked for alone."""
    live(shop, minutes=2, step=0.5)
    live(shop, minutes=minutes, step=5)


def bodies(shop: Shop) -> list[str]:
    """Of what the provider has, sorted."""
    return sorted(message.body for message in shop.messages)


def is_held(shop: Shop, row: UUID) -> bool:
    """Whether a person is to decide."""
    record = shop.row(row)
    assert (record["status"], record["in_doubt_since"] is not None) == ("pending", True)
    return record["held_since"] is not None


@pytest.mark.parametrize(
    ("dropped", "accepted", "dropped_first"),
    [
        pytest.param(
            SHORT, LONG, True, id="begins alike, the short one dropped, and first"
        ),
        pytest.param(
            TAIL,
            f"Your visit is tomorrow. {TAIL}",
            False,
            id="ends alike, the short one dropped",
        ),
        pytest.param(
            BODY, BODY, True, id="the same words twice, the first one dropped"
        ),
    ],
)
def test_of_two_texts_that_are_alike_each_goes_out_once(
    shop: Shop, dropped: str, accepted: str, dropped_first: bool
) -> None:
    """The dropped one took the other's message and was lost; the other found its message taken, and went out again."""
    faults: list[tuple[str, SendFault]] = [
        (dropped, DropUnaccepted()),
        (accepted, AcceptThenDrop()),
    ]
    rows = []
    for body, fault in faults if dropped_first else reversed(faults):
        rows.append(in_doubt(shop, fault, body=body))
        shop.later(seconds=30)
    an_hour(shop)
    assert shop.ends(*rows) == "completed completed"
    assert bodies(shop) == sorted([dropped, accepted])


def test_a_message_is_dated_by_twilios_own_clock_which_its_answers_tell(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is minutes behind ours. The message is no older one, and nobody need decide."""
    monkeypatch.setattr(shop.twilio, "clock_ahead", timedelta(minutes=-8))
    row = in_doubt(shop, AcceptThenDrop())
    shop.later(minutes=2)
    assert shop.run() == ["Sent"]
    assert (shop.status_of(row), len(shop.messages)) == ("completed", 1)


def test_the_message_of_an_earlier_send_that_the_list_hid_is_not_followed_by_a_third(
    shop: Shop,
) -> None:
    """Twilio's list lagged beyond the three looks, and the second send is in doubt, too."""
    row = in_doubt(shop, AcceptThenDrop())
    shop.twilio.fail(ListLag(timedelta(minutes=40)), times=None)
    shop.twilio.fail(DropUnaccepted())
    an_hour(shop)
    assert is_held(shop, row)
    assert bodies(shop) == [BODY]


def test_a_person_is_shown_no_message_that_is_anothers(shop: Shop) -> None:
    """Two older texts of the same words are on record, one by its attempt alone; the one that is not is named."""
    row = shop.due_text()
    assert shop.run() == ["Sent"]
    shop.sql("update send_logs set provider_message_id = null")
    recorded = sent_unrecorded(shop, BODY)
    record(shop, recorded)
    unrecorded = sent_unrecorded(shop, BODY)
    shop.later(minutes=10)
    row, ours = in_doubt(shop, DropUnaccepted()), shop.attempts_of(row)[0]["twilio_sid"]
    an_hour(shop, 10)
    assert [sid in shop.row(row)["why"] for sid in (unrecorded, recorded, ours)] == [
        True,
        False,
        False,
    ]


def test_a_text_that_was_held_for_what_turned_out_to_be_anothers_goes_on_by_itself(
    shop: Shop,
) -> None:
    """The application records its SID late. Until the text is sent, it no longer says what it was held for."""
    row = in_doubt(shop, DropUnaccepted(), body=SHORT)
    theirs = sent_unrecorded(shop, LONG)
    shop.at(shop.now() + LOOK)
    assert shop.run() == ["Held"]
    record(shop, theirs)
    shop.later(minutes=61)
    assert shop.run() == ["InDoubt"]
    assert shop.fields(row, "held_since why") == (None, None)
    an_hour(shop)
    assert shop.status_of(row) == "completed"


def without(*names: str, **values: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """A message's JSON without these properties, or with others."""
    return lambda message: {
        **{k: v for k, v in message.items() if k not in names},
        **values,
    }


MISPRINTS: Final[dict[str, Callable[[dict[str, Any]], Any]]] = {
    "without a date": without("date_created"),
    "with an impossible date": without(date_created="Mon, 32 Foo 2027 25:61:00 +0000"),
    "without a body": without("body"),
    "with a body that is none": without(body=["Hi"]),
    "with a masked number": without(to="+1212555XXXX"),
    "without a direction": without("direction"),
    "without a sender": without("messaging_service_sid", "from"),
    "without a name": without("sid"),
    "that is no message": lambda _: "what?",
}


def test_an_entry_that_cannot_be_read_and_may_be_ours_is_shown_to_a_person(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The look must not fail for ever, with nobody told. Each text has its own number, and its own misprint."""
    rows = {
        kind: in_doubt(shop, AcceptThenDrop(), phone=f"+121255501{n:02}")
        for n, kind in enumerate(MISPRINTS)
    }
    odd = dict(
        zip((message.to for message in shop.messages), MISPRINTS.values(), strict=True)
    )
    with monkeypatch.context() as misprinting:
        misprinting.setattr(
            shop.twilio, "misprint", lambda message: odd[message["to"]](message)
        )
        an_hour(shop, 30)
        for kind, row in rows.items():
            assert is_held(shop, row), kind
            assert "smsretry texts resolve" in shop.row(row)["why"], kind
            assert BODY not in shop.row(row)["why"], kind
    an_hour(shop)
    assert {shop.status_of(row) for row in rows.values()} == {"completed"}
    assert bodies(shop) == [BODY] * len(rows)


def test_a_message_that_is_listed_behind_an_older_one_is_found(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twilio's order is not exact. The older one is of a send three days before, where reading might have ended."""
    shop.due_text(body="Three days earlier")
    assert shop.run() == ["Sent"]
    shop.later(days=3, minutes=10)
    in_doubt(shop, AcceptThenDrop())
    monkeypatch.setattr(shop.twilio, "retell", lambda entries: entries[::-1])
    shop.at(shop.now() + LOOK)
    assert shop.run() == ["Sent"]


def test_a_list_without_an_end_is_read_so_far_and_no_further(shop: Shop) -> None:
    """It proves no absence: the text is held, says why, and goes on by itself once the list has an end."""
    row = in_doubt(shop, DropUnaccepted())
    shop.twilio.fail(EndlessList(), times=None)
    before = shop.twilio.lists
    shop.at(shop.now() + LOOK)
    assert shop.run() == ["Held"]
    assert shop.twilio.lists - before == 10
    assert "longer than" in shop.row(row)["why"]
    shop.twilio.heal()
    an_hour(shop)
    assert (shop.status_of(row), bodies(shop)) == ("completed", [BODY])


def test_a_send_to_the_number_that_began_after_the_claim_is_waited_for(
    shop: Shop,
) -> None:
    """The claim of the text in doubt could not know its words, and it may be what is found."""
    in_doubt(shop, DropUnaccepted())
    shop.at(shop.now() + LOOK)
    [claim] = claim_doubtful(shop.queue, 1)
    shop.later(seconds=1)
    in_doubt(shop, AcceptThenDrop(), body=BODY + FOOTER)
    held = "reconcile_sms_retry(%s, %s, 'hold', why => 'It may be', due_in => '1 minute', ambiguous => array['SM1'])"
    assert shop.value(f"select {held}", claim.id, claim.claim_no) == "wait", (
        "nor is it a person's to decide yet"
    )
    assert (
        reconcile(claim, queue=shop.queue, provider=shop.provider, profile=DEFAULT).fate
        == "InDoubt"
    )
    an_hour(shop)
    assert bodies(shop) == sorted([BODY, BODY + FOOTER]), (
        "the one message has the later one's words"
    )


@pytest.mark.parametrize(
    "meanwhile",
    [
        "update customers set phone = '+12125550199'", "update send_logs set subject = 'Another text'",
        "delete from customers", "delete from send_logs",
    ],
)  # fmt: skip
def test_a_text_in_doubt_is_found_whatever_became_of_its_rows(
    shop: Shop, meanwhile: str
) -> None:
    """What begin kept with the attempt is what went to Twilio."""
    row = in_doubt(shop, AcceptThenDrop())
    shop.sql(meanwhile)
    shop.at(shop.now() + LOOK)
    assert shop.run() == ["Sent"]
    assert (shop.status_of(row), len(shop.messages)) == ("completed", 1)


def test_workers_that_die_between_begin_and_send_cost_no_attempt(shop: Shop) -> None:
    """Three of them would use up a text that was never at Twilio."""
    row = shop.due_text()
    for _ in range(3):
        assert shop.begin(shop.claim()).answer == "go"
        for _ in range(15):
            shop.later(minutes=3)
            shop.recover()
            for doubt in claim_doubtful(shop.queue, 10):
                reconcile(
                    doubt, queue=shop.queue, provider=shop.provider, profile=DEFAULT
                )
            if (
                shop.row(row)["in_doubt_since"] is None
                and shop.status_of(row) == "pending"
            ):
                break
        assert shop.row(row)["attempt_count"] == 0
    assert shop.run() == ["Sent"]
    assert [message.to for message in shop.messages] == [PHONE]
