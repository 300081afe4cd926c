"""The order to import opt-outs from another system, for one business or for each."""

from typing import Final, Self

from pydantic import Field, model_validator

from smsretry.desk.actions.form import Id, NumberlessText, Request

LINES_OF_A_CALL: Final = 500
"""How many opt-outs one call holds; `import_sms_opt_outs` takes no more."""


class ImportOptOuts(Request):
    """Record the opt-outs of a file. Nothing is recorded unless somebody says who and why."""

    business_id: Id | None = Field(None, title="Business", description="Whose opt-outs they are.")
    all_businesses: bool = Field(False, title="All businesses", description="They are opt-outs from every business.")
    dry_run: bool = Field(True, title="Only try", description="Record nothing; say what would be recorded.")
    who: NumberlessText | None = Field(None, title="Who", description="Your name. It is kept.", max_length=200)
    because: NumberlessText | None = Field(
        None, title="Because", description="Where they come from. It is kept.", max_length=500
    )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.all_businesses is (self.business_id is not None):
            raise ValueError("say for whom in one way: business_id, or all_businesses")
        if not self.dry_run and not ((self.who or "").strip() and (self.because or "").strip()):
            raise ValueError("who and because must be given unless it is only tried: they are kept")
        return self
