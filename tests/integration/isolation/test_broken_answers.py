"""Answers that are broken are told for what they are."""

import pytest
from starlette.responses import Response

from smsretry.errors import QueueError, QueueMismatch, QueueUnreachable
from smsretry.settings import Settings
from tests.integration.isolation.test_bad_input import answering
from tests.support.claims import claim_due


def test_an_answer_that_cannot_be_read_is_told_for_what_it_is(settings: Settings) -> None:
    """It was garbled on its way, so what the call did is unknown; or something else answers at this address."""
    answers: list[tuple[Response, type[QueueError], str]] = [
        (Response(b"no gzip", headers={"content-encoding": "gzip"}), QueueUnreachable, "DecodingError"),
        (Response(b"[" * 100_000, media_type="application/json"), QueueMismatch, "not its JSON"),
    ]
    for answer, error, said in answers:
        with answering(answer, settings) as queue, pytest.raises(error, match=said):
            claim_due(queue, 1)
