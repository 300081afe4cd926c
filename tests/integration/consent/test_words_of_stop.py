"""What somebody texts in their own words: what says stop, what may mean it, and what does not."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import Business
from tests.proofs.oracles import stopping


def means(business: Business, *bodies: str) -> list[str | None]:
    """What the package takes each of them for."""
    rows = business.connection.execute(
        "select smsretry.means_stop(b.body) as means from unnest(%s::text[]) with ordinality b (body, n) order by b.n",
        [list(bodies)],
    )
    return [row["means"] for row in rows]


def unlike(
    business: Business, bodies: tuple[str, ...], *expected: str | None
) -> list[str]:
    """Those that are taken for something else."""
    return [
        body
        for body, meant in zip(bodies, means(business, *bodies), strict=True)
        if meant not in expected
    ]


def test_a_word_of_the_law_and_of_a_provider_opts_out_however_a_phone_writes_it(
    business: Business,
) -> None:
    """Alone, in any case, with accents, punctuation and emoji around it, or in letters that only look like letters."""
    assert unlike(business, stopping.STOPS, "keyword") == []


def test_a_stop_that_laughs_or_asks_is_shown_to_a_person(business: Business) -> None:
    """It may be about something else."""
    assert means(business, "stop 😂", "Stop?") == ["unsure", "unsure"]


def test_at_most_one_of_a_hundred_who_want_no_more_texts_leaves_no_trace(
    business: Business,
) -> None:
    """All were written before the rule. The plain words of more languages are all heard."""
    lost = unlike(business, stopping.OPT_OUTS, "keyword", "unsure")
    assert len(lost) <= len(stopping.OPT_OUTS) / 100, lost
    assert unlike(business, stopping.DICTIONARY, "keyword", "unsure") == []


def test_known_words_that_run_together_and_letters_that_look_alike_leave_a_trace(
    business: Business,
) -> None:
    """Also a stop that is only for now; an ordinary word that has stop in it does not."""
    bodies = ("stopplease", "removeme", "stopquit", "5TOP", "ѕтор", "ЅТОР texting")
    assert unlike(business, bodies, "keyword", "unsure") == []
    assert unlike(business, ("stop for now", "stop for today"), "unsure") == []
    assert unlike(business, ("stopover", "removable", "5 tops"), None) == []


def test_a_courtesy_takes_nothing_from_a_word_of_the_law(business: Business) -> None:
    """Before it or after it."""
    polite = [
        words
        for word in stopping.LAW
        for words in (f"{word} please", f"Thanks, {word}", f"please {word}, thank you")
    ]
    assert unlike(business, tuple(polite), "keyword") == []


def test_a_word_that_is_mistyped_is_asked_about_and_an_ordinary_one_is_not(
    business: Business,
) -> None:
    """One letter makes either of them."""
    assert (
        means(business, "stpo", "STOPP", "unsubscibe", "cancle", "op tout")
        == ["unsure"] * 5
    )
    assert unlike(business, ("top", "shop", "step", "ends", "quiet"), None) == []


def test_a_text_about_something_else_opts_nobody_out_and_few_of_them_are_asked_about(
    business: Business,
) -> None:
    """What shall not stop, what stops elsewhere, appointments that are cancelled, reactions that quote us. Many were
    written to be mistaken; who is asked too often reads nothing.
    """
    meanings = means(business, *stopping.OTHERS)
    assert {*meanings} <= {None, "unsure"}
    assert meanings.count("unsure") / len(meanings) < 1 / 20


SPACES = [" ", "\u00a0", "\u2009", "\u3000", "\t", "\r\n"]
UNSEEN = ["\u200b", "\u200d", "\u2060", "\ufeff", "\u00ad", "\u200e", "\ufe0f"]
AROUND = [
    "", ".", "!", "!!!", "…", '"', "“", "”", "'", "(", ")", "*", "~", "-", "–", " 🙏", "😡", "👍🏽", "🛑",
    "\u200b", "\u00a0", "\n",
]  # fmt: skip
_MANY = settings(
    max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
WIDE = {chr(n): chr(n + 0xFEE0) for n in range(0x21, 0x7F)}


@st.composite
def written(draw: st.DrawFn) -> str:
    """A word of law as a phone may send it."""
    word = draw(
        st.sampled_from(sorted({*stopping.LAW, *map(str.lower, stopping.PROVIDERS)}))
    )
    letters = []
    for letter in word:
        how = draw(
            st.sampled_from(
                ["as it is", "as it is", "capital", "wide", "unseen before", "accent"]
            )
        )
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
    "body",
    [
        "st" * 2_500_000,
        "stop " * 1_000_000,
        "don t " * 300,
        "loved “" * 300,
        "\ufdfa" * 1600,
    ],
)
def test_a_hostile_body_takes_no_longer_than_a_text(
    business: Business, body: str
) -> None:
    """Megabytes, or 1,600 characters that become many more."""
    business.connection.execute("set statement_timeout = '1s'")
    assert means(business, body) == ["keyword" if body.startswith("stop") else None]
