"""What a refusal means for its text, whoever the provider is."""

from typing import get_args

import pytest

from smsretry.retry.outcome import Refusal, RefusalKind

MAY_GO_OUT_LATER: dict[RefusalKind, bool] = {
    "transient": True,
    "rate_limit": True,
    "day_spent": True,
    "account": True,  # nothing is wrong with the text
    "permanent": False,
    "opted_out": False,
}


@pytest.mark.parametrize("kind", get_args(RefusalKind))
def test_only_what_may_pass_is_tried_again(kind: RefusalKind) -> None:
    """Every kind has its answer, whatever its code is."""
    for code in (None, 0, 21211):
        assert Refusal(kind, "Some trouble", code).retryable is MAY_GO_OUT_LATER[kind]


def test_a_refusal_reads_as_its_text() -> None:
    """That text is stored in `last_error`. The code stands beside it."""
    assert str(Refusal("permanent", "Some provider 4711: No such number", 4711)) == "Some provider 4711: No such number"
