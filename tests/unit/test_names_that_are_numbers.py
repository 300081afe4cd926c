"""Somebody may paste a number where a name belongs. No refusal repeats it."""

import pytest
from pydantic import ValidationError

from flows.support.forms import _unknown
from flows.support.hidden_numbers import without_numbers
from smsretry.desk.actions.refusals import in_words
from smsretry.desk.actions.requests import WhichText

NUMBERS = ("+12125550188", "2125550188", "(212) 555-0188", "555-0188", "5550188")


@pytest.mark.parametrize("number", NUMBERS)
def test_a_parameter_s_name_that_is_a_number_is_not_repeated(number: str) -> None:
    """Nor kept with the run."""
    assert _unknown([number], ["ask"]) == ["There is no parameter …. There are: ask"]
    assert without_numbers({number: {number: [number]}}) == {"…": {"…": ["…"]}}


@pytest.mark.parametrize("number", NUMBERS)
def test_a_field_s_name_that_is_a_number_is_not_repeated(number: str) -> None:
    """An unknown field is named otherwise."""
    with pytest.raises(ValidationError) as refused:
        WhichText.model_validate({number: "x", "nonsense": "x"})
    assert in_words(refused.value, {"id": "Id"}) == [
        "a name that is a number: is no field of this form",
        "nonsense: is no field of this form",
    ]
