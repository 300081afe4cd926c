"""Prefect's UI, as far as the desk uses it."""

import json
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

import httpx

from tests.e2e.browser import Browser, NotSeen

_FIELD = """
    [...document.querySelectorAll('.schema-form-property__label')]
        .find((label) => label.innerText.replace('(Optional)', '').trim() === %s)
        ?.closest('.schema-form-property')?.querySelector('textarea, input')
"""
_LABELS = "document.querySelectorAll('.schema-form-property__label').length"


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

    def texts_of(self, customer: UUID, *, until: str) -> None:
        """The list of task runs, searched for a customer."""
        self.page.go(f"{self.url}/runs?tab=task-runs")
        search = "input[placeholder='Search by task run name']"
        self.page.press(f"document.querySelector({json.dumps(search)})", "the search")
        self.page.type(str(customer))
        self.page.until(lambda: until in self._badges_of(customer), f"No {until} of {customer} is on the list")

    def _badges_of(self, customer: UUID) -> list[str]:
        """The lines of the entries, once all are this customer's; each one's badge is among them."""
        entries = self.page.run("[...document.querySelectorAll('.task-run-list-item')].map((entry) => entry.innerText)")
        found = entries and all(str(customer) in entry for entry in entries)
        return [line for entry in entries for line in entry.splitlines()] if found else []

    def open_form(self, deployment: str) -> None:
        """A form, as a bookmark opens it. The list of deployments shows ten a page, and there are more."""
        found = httpx.get(f"{self.url}/api/deployments/name/{deployment}/{deployment}").raise_for_status().json()
        self.page.go(f"{self.url}/deployments/deployment/{found['id']}/run")
        self.page.sees("Submit")

    def fill(self, field: str, text: str) -> None:
        """Type into the field with this label."""
        self.page.press(_FIELD % json.dumps(field), field)
        self.page.type(text)

    def sign(self, who: str, because: str) -> None:
        """Say who and why, once the form is drawn, where it asks for it."""
        self.page.until(lambda: self.page.run(_LABELS) > 1, "The form has no fields")
        if self.page.run(f"Boolean({_FIELD % json.dumps('Who')})"):
            self.fill("Who", who)
            self.fill("Because", because)

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
