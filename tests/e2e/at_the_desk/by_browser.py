"""By Prefect's UI alone, given the customer's id."""

from uuid import UUID

from tests.e2e.at_the_desk.diary import Diary
from tests.e2e.at_the_desk.prefect_ui import PrefectUi
from tests.e2e.browser import Browser

ACTION = "send it again, with every check"


def by_browser(page: Browser, url: str, customer: UUID, code: int, diary: Diary) -> None:
    """Find the text, read why, requeue it with a bad and with a good form, see it sent.

    Raises:
        NotSeen: a page does not say what it should.
    """
    ui = PrefectUi(page, url)
    ui.feed(customer, until=f"Failed {code}")
    diary.note("The customer's feed says that it failed, and why", page)

    ui.open_form("sms-explain")
    ui.fill("Customer", str(customer))
    diary.note("The form asks which text", page)
    ui.submit(until="Next: nothing happens by itself")
    diary.note("The answer is on the run's first page", page)
    ui.answer(until=ACTION)
    diary.note("The artifact leads to the form that sends it again", page)

    page.follow(ACTION)
    page.sees("Because")
    diary.note("The form has the text already", page)
    page.click("Submit")
    page.sees("'who' is a required property")
    diary.note("Without a name the form refuses it in words", page)
    ui.fill("Who", "Ann")
    ui.fill("Because", "The sender was mended")
    diary.note("The form with a name and a reason", page)
    ui.submit(until="Requeued 1 of 1 that match.")
    diary.note("It is requeued", page)

    ui.answer(until="The next run takes what is due")
    page.follow("Start one now")
    page.sees("drain_seconds")
    ui.submit(until="Completed")
    diary.note("A run takes what is due at once", page)
    ui.texts_of(customer, until="Sent")
    diary.note("The list of texts says that it was sent", page)
