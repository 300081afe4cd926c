"""The bookmarks of flows/README.md and the links of the desk's pages, opened in Prefect's UI."""

import re
from urllib.parse import quote

import pytest

from smsretry.local.demo.run import ROOT
from smsretry.local.stack import SENDER, Stack
from smsretry.local.twilio.faults import AcceptThenDrop, JsonError
from tests.conftest import Business
from tests.e2e.browser import Browser
from tests.e2e.conftest import Ask, FlowProcess, Prefect
from tests.e2e.documents import Document
from tests.e2e.test_flow import texts, wait_for_events
from tests.support.records import Record

_ROW = re.compile(r"^\| [^|]+ \| (`/[^|]+) \|$", re.MULTILINE)
_FORM = re.compile(r"\(\.\./\.\.(\S+/run\?parameters=\S+?)\)")
_FEED = re.compile(r"\(\.\./\.\.(/events\S+?)\)")


@pytest.fixture
def runs(
    stack: Stack, business: Business, flow: FlowProcess, prefect: Prefect, ask: Ask
) -> Record:
    """A run of each kind, by its name; the row whose text is in doubt, and one that failed."""
    idle, _ = flow.run()
    with stack.connect() as connection:
        added = connection.execute(
            "select sender_id from add_sms_sender(%s, %s, %s, who => 'a test', because => 'Its own')",
            [business.id, stack.twilio.accounts.main.sid, SENDER],
        ).fetchone()
    row = business.due_text(phone="+12125550162")
    failed = business.due_text(phone="+12125550163")
    stack.twilio.fail(AcceptThenDrop(), to="+12125550162")
    stack.twilio.fail(JsonError(21612), to="+12125550163")
    busy, _ = flow.run()
    texts(prefect, busy["id"], 2)
    red, _ = flow.run(SUPABASE_URL="http://127.0.0.1:9")
    desk = ask("sms-explain", {"ask": {"id": str(failed)}})
    runs = {
        "idle": idle["id"],
        "busy": busy["id"],
        "red": red["id"],
        "desk": desk["id"],
    }
    return {**runs, "row": row, "failed": failed, "sender": added}


@pytest.mark.long
def test_each_bookmark_shows_what_it_says_and_nothing_else_and_a_pages_next_step_is_filled_in(
    runs: Record, business: Business, prefect: Prefect
) -> None:
    """Runs are known by their links; a story by its event; a form by the row that it is about, in both of the UIs."""
    row = business.row(runs["row"])
    people = {
        "customer": row["customer_id"],
        "send-log": row["send_log_id"],
        "business": business.id,
        "sender": runs["sender"]["sender_id"],
    }
    shown: dict[str, tuple[str, ...]] = {
        "/runs?tag=texts": ("busy",),
        "/runs?state=Failed&state=Crashed": ("red",),
        "/runs?tag=desk": ("desk",),
        "/runs?tab=task-runs&state=In%20doubt": ("busy",),
    }
    stories = {
        f"/events?resource=sms.{kind}.<id>": f"sms.{kind}.{one}"
        for kind, one in people.items()
    }
    stories["/events?resource=sms.text.<row id>"] = f"sms.text.{row['id']}"
    wait_for_events(prefect, stories["/events?resource=sms.text.<row id>"], 1)
    document = Document(ROOT / "flows" / "README.md")
    listed = [
        path.strip("`")
        for cell in _ROW.findall(document.text)
        for path in re.findall(r"`[^`]+`", cell)
    ]
    paths = [
        path if path.startswith("/") else f"/events?resource={path}" for path in listed
    ]
    assert set(paths) == {*shown, *stories, "/artifacts/artifact/<id>"}
    server = prefect.server.url
    [form, *_], [feed, *_] = (
        links.findall(prefect.artifacts("sms-explain")[0]["data"])
        for links in (_FORM, _FEED)
    )
    with Browser() as page:
        for path, wanted in shown.items():
            seen = page.open(server + path, *(runs[kind] for kind in wanted))
            others = [
                kind for kind in ("idle", "busy", "red", "desk") if kind not in wanted
            ]
            assert not [kind for kind in others if runs[kind] in seen], path
        for resource in stories.values():
            page.open(
                f"{server}/events?resource={quote(resource)}", "Sms text in doubt"
            )
        [queue] = prefect.artifacts("sms-queue-now")
        link = f"/artifacts/artifact/{queue['id']}"
        assert (
            f"[The queue now](../..{link})" in prefect.artifacts("sms-run")[0]["data"]
        )
        for ui in (server, f"{server}/v2"):
            page.open(ui + link, "Not sent yet", "as of")
        # The newer UI shows no event of the minute that is under way.
        for ui, of_feed in (
            (server, "sms.text.failed"),
            (f"{server}/v2", "resources selected"),
        ):
            page.open(ui + form, "Because", str(runs["failed"]))
            page.open(ui + feed, of_feed)
