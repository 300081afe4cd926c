"""Prefect's UI, as far as the desk uses it."""

import json
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

from tests.e2e.browser import Browser, NotSeen

_FIELD = """
    [...document.querySelectorAll('.schema-form-property__label')]
        .find((label) => label.innerText.replace('(Optional)', '').trim() === %s)
        ?.closest('.schema-form-property')?.querySelector('textarea, input')
"""


@dataclass(frozen=True)
class PrefectUi:
    """The UI at an address, in a browser."""

    page: Browser
    url: str

    def feed(self, customer: UUID, *, until: str) -> str:
        """The bookmark of a customer's story; reload it until it says so."""
        address = f"{self.url}/events?resource=sms.customer.{customer}"
        for _ in range(10):
            self.page.go(address)
            with suppress(NotSeen):
                return self.page.sees(until, seconds=3)
        return self.page.sees(until)

    def open_form(self, deployment: str) -> None:
        """From the list of deployments to a form."""
        self.page.go(f"{self.url}/deployments")
        self.page.click(deployment)
        self.page.click("Run", on="button")
        self.page.click("Custom run")
        self.page.sees("Submit")

    def fill(self, field: str, text: str) -> None:
        """Type into the field with this label."""
        self.page.press(_FIELD % json.dumps(field), field)
        self.page.type(text)

    def submit(self, *, until: str) -> str:
        """Press the button, go to the run, and wait until its page says so."""
        self.page.click("Submit")
        self.page.click("View run", nth=-1)  # it is there twice, one over the other
        self.page.sees("Job Variables")
        return self.page.sees(until, seconds=60)

    def answer(self, *, until: str) -> str:
        """The page behind the run: its artifact."""
        self.page.click("Artifacts", on="a, button, li")
        self.page.press("document.querySelector('.artifact-card')", "the artifact")
        return self.page.sees(until)

    def again(self) -> None:
        """The run's own form, filled in as it was."""
        self.page.press("document.querySelector('.flow-run-menu button, button.flow-run-menu, .flow-run-menu')", "⋮")
        self.page.click("Copy to new run", on="a, button, div, span")
        self.page.sees("Submit")
