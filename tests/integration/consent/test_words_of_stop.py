"""What somebody texts in their own words: what says stop, what may mean it, and what does not."""

from datetime import timedelta
from typing import Final, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.desk.actions.requests import Prune, WhichText
from smsretry.desk.questions.queue_status import QueueStatus
from smsretry.errors import InputError
from smsretry.local.stack import Stack
from tests.conftest import Business
from tests.integration.hearing import answer, consents, hear
from tests.proofs.oracles import stopping
from tests.support.builders import PHONE, run
from tests.support.orders import record_consent

SID: Final = "SM" + "a" * 32


def means(business: Business, *bodies: str) -> list[str | None]:
    """What the package takes each of them for."""
    found = business.connection.execute(
        "select smsretry.means_stop(b.body) as means from unnest(%s::text[]) with ordinality b (body, n) order by b.n",
        [list(bodies)],
    )
    return [row["means"] for row in found]


def unlike(business: Business, bodies: tuple[str, ...], *expected: str | None) -> list[str]:
    """Those that are taken for something else."""
    return [body for body, meant in zip(bodies, means(business, *bodies), strict=True) if meant not in expected]


# Which is which


def test_a_word_of_the_law_and_of_a_provider_opts_out_however_a_phone_writes_it(business: Business) -> None:
    """Alone, in any case, with accents, punctuation and emoji around it, or in letters that only look like letters."""
    assert unlike(business, stopping.STOPS, "keyword") == []


def test_nobody_who_wants_no_more_texts_goes_unheard(business: Business) -> None:
    """Of 790 texts that were written before the rule, and of the plain words of some more languages."""
    assert unlike(business, (*stopping.OPT_OUTS, *stopping.DICTIONARY), "keyword", "unsure") == []


def test_a_text_about_something_else_opts_nobody_out(business: Business) -> None:
    """Of 403: what shall not stop, what stops elsewhere, appointments that are cancelled, reactions that quote us."""
    assert unlike(business, stopping.OTHERS, None, "unsure") == []


def test_a_person_is_asked_about_few_texts_of_those_who_stay(business: Business) -> None:
    """Every third of these was written to be mistaken; who is asked too often reads nothing."""
    assert len(unlike(business, stopping.OTHERS, None)) / len(stopping.OTHERS) < 1 / 8


SPACES: Final = [" ", "\u00a0", "\u2009", "\u3000", "\t", "\r\n"]
UNSEEN: Final = ["\u200b", "\u200d", "\u2060", "\ufeff", "\u00ad", "\u200e", "\ufe0f"]
AROUND: Final = [
    "", ".", "!", "!!!", "…", '"', "“", "”", "'", "(", ")", "*", "~", "-", "–", " 🙏", "😡", "👍🏽", "🛑",
    "\u200b", "\u00a0", "\n",
]  # fmt: skip
_MANY: Final = settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
WIDE: Final = {chr(n): chr(n + 0xFEE0) for n in range(0x21, 0x7F)}


@st.composite
def written(draw: st.DrawFn) -> str:
    """A word of law as a phone may send it."""
    word = draw(st.sampled_from(sorted({*stopping.LAW, *map(str.lower, stopping.PROVIDERS)})))
    letters = []
    for letter in word:
        how = draw(st.sampled_from(["as it is", "as it is", "capital", "wide", "unseen before", "accent"]))
        if letter == " ":
            letters.append(draw(st.sampled_from(SPACES)))
        elif how == "capital":
            letters.append(letter.upper())
        elif how == "wide":
            letters.append(WIDE[letter])
        else:
            before = draw(st.sampled_from(UNSEEN)) if how == "unseen before" else ""
            letters.append(before + letter + ("\u0301" if how == "accent" else ""))
    around = st.lists(st.sampled_from(AROUND), max_size=3).map("".join)
    return draw(around) + "".join(letters) + draw(around)


@_MANY
@given(body=written())
def test_case_accents_punctuation_spaces_emoji_and_what_is_not_seen_make_no_difference(
    business: Business, body: str
) -> None:
    """To a word alone."""
    assert means(business, body) == ["keyword"]


@pytest.mark.parametrize(
    "body", ["a" * 5_000_000, "stop " * 1_000_000, "don t " * 300, "loved “" * 300, "\ufdfa" * 1600]
)
def test_a_hostile_body_takes_no_longer_than_a_text(business: Business, body: str) -> None:
    """Megabytes, or 1,600 characters that become many more."""
    business.connection.execute("set statement_timeout = '1s'")
    assert means(business, body) == ["keyword" if body.startswith("stop") else None]


# What follows


def test_what_may_mean_stop_changes_nothing_and_is_shown_until_a_person_looked_at_it(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, operators: SupabaseOperators
) -> None:
    """By its SID: its words are at Twilio, and kept nowhere here."""
    text = business.due_text()
    assert answer(business, body="I no longer wish to receive these", sid=SID)["answer"] == "unsure"
    assert consents(business) == [("opted_in", None)]
    status = QueueStatus.of(operators.status())
    assert any("wrote what may mean stop" in need for need in status.needs_somebody)
    assert any(SID in line for line in status.lines())
    [told] = operators.explain(WhichText(retry_id=text))
    assert told.stop_sid == SID
    record_consent(operators, PHONE, consent="unchanged", source="text", business_id=None)
    assert not QueueStatus.of(operators.status()).part("inbound")
    [told] = operators.explain(WhichText(retry_id=text))
    assert told.stop_sid is None
    with pytest.raises(InputError, match="No text of this number waits"):
        record_consent(operators, PHONE, consent="unchanged", source="text", business_id=None)
    assert run(queue, sender) == ["Sent"]


def test_whatever_is_said_plainly_answers_it(stack: Stack, business: Business, operators: SupabaseOperators) -> None:
    """By a person at the desk, or their own; both of two texts, and also if the customer is gone."""
    business.customer()
    said: list[Literal["opted_in", "opted_out", "unchanged", "START", "STOP"]]
    said = ["opted_in", "unchanged", "STOP", "START", "opted_out"]
    for word in said:
        for _ in range(2):
            hear(business, body="merci de ne plus m'écrire")
        hear(business, body="remove me please, all of you", phone="+12125550124")  # nobody's: there is nothing to read
        [line] = QueueStatus.of(operators.status()).part("inbound")
        assert line.texts == 1, word
        stack.move_clock(timedelta(minutes=1))
        if word == "START" or word == "STOP":
            hear(business, body=word)
        else:
            if word == "unchanged":
                business.connection.execute("delete from customers")
            record_consent(operators, PHONE, consent=word, source="text", business_id=business.id)
        assert not QueueStatus.of(operators.status()).part("inbound"), word
        business.connection.execute("delete from customers; delete from smsretry.consents")
        business.customer()
    record_consent(operators, PHONE, consent="opted_out", source="text", business_id=None)
    assert consents(business) == [("opted_out", "text")]


def test_what_nobody_has_looked_at_is_never_forgotten(
    stack: Stack, business: Business, operators: SupabaseOperators
) -> None:
    """An opt-out that waited for a person would be lost with it."""
    business.customer()
    hear(business, body="I no longer wish to receive these", sid=SID)
    stack.move_clock(timedelta(days=100))
    operators.carry_out(Prune(keep_days=7))
    assert QueueStatus.of(operators.status()).part("inbound")
    record_consent(operators, PHONE, consent="unchanged", source="text", business_id=None)
    operators.carry_out(Prune(keep_days=7))
    assert business.connection.execute("select from smsretry.inbound_texts").rowcount == 0


def test_who_has_opted_out_already_is_not_asked_about(business: Business, operators: SupabaseOperators) -> None:
    """Angry words that follow a STOP change nothing."""
    business.customer()
    hear(business, "STOP")
    assert hear(business, body="I said STOP texting me or I will sue you!")[0] == "unsure"
    assert not QueueStatus.of(operators.status()).part("inbound")


def test_a_yes_in_a_conversation_lifts_nothing_that_was_said_in_words_and_a_start_does(
    stack: Stack, business: Business
) -> None:
    """Twilio has not blocked them, so it unblocks nobody; they may have been asked something else."""
    business.customer()
    hear(business, body="please stop texting me")
    stack.move_clock(timedelta(minutes=1))
    for yes in ("Yes", "Yes!", "yes please", "ok start"):
        hear(business, body=yes)
        assert consents(business) == [("opted_out", "inbound_words")], yes
    assert hear(business, body="Start") == ("opted_in", 1, 0)
    stack.move_clock(timedelta(minutes=1))
    hear(business, body="please stop texting me")
    stack.move_clock(timedelta(minutes=1))
    assert hear(business, "START", "yes") == ("opted_in", 1, 0)
