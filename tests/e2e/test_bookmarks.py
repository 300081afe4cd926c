"""The bookmarks of flows/README.md, opened in Prefect's UI: each shows what it says, and nothing else."""

import re
from functools import partial
from typing import Any, Final
from urllib.parse import quote

import pytest

from smsretry.local.demo.run import ROOT
from smsretry.local.stack import SENDER, Stack
from smsretry.local.twilio.faults import AcceptThenDrop
from tests.conftest import Business
from tests.e2e.browser import Browser
from tests.e2e.conftest import Ask, FlowProcess, Prefect
from tests.e2e.documents import Document
from tests.e2e.test_flow import texts, wait_for_events

_ROW: Final = re.compile(r"^\| [^|]+ \| (`/[^|]+) \|$", re.MULTILINE)
_LINKS: Final = "[...document.querySelectorAll('a')].map((a) => a.href).join('\\n')"


def _has(page: Browser, links: list[str]) -> bool:
    return all(link in page.run(_LINKS) for link in links)


@pytest.fixture
def runs(stack: Stack, business: Business, flow: FlowProcess, prefect: Prefect, ask: Ask) -> dict[str, Any]:
    """A run of each kind, by its name; and the row whose text is in doubt."""
    idle, _ = flow.run()
    with stack.connect() as connection:
        added = connection.execute(
            "select sender_id from add_sms_sender(%s, %s, %s, who => 'a test', because => 'Its own')",
            [business.id, stack.twilio.accounts.main.sid, SENDER],
        ).fetchone()
    row = business.due_text(phone="+12125550162")
    stack.twilio.fail(AcceptThenDrop(), to="+12125550162")
    busy, _ = flow.run()
    texts(prefect, busy["id"], 1)
    red, _ = flow.run(SUPABASE_URL="http://127.0.0.1:9")
    desk = ask("sms-status", {})
    return {"idle": idle["id"], "busy": busy["id"], "red": red["id"], "desk": desk["id"], "row": row, "sender": added}


@pytest.mark.long
def test_each_bookmark_shows_what_it_says(
    runs: dict[str, Any], business: Business, prefect: Prefect, has_browser: None
) -> None:
    """Runs are known by their links; a story by its event."""
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
    stories = {f"/events?resource=sms.{kind}.<id>": f"sms.{kind}.{one}" for kind, one in people.items()}
    stories["/events?resource=sms.text.<row id>"] = f"sms.text.{row['id']}"
    wait_for_events(prefect, stories["/events?resource=sms.text.<row id>"], 1)
    document = Document(ROOT / "flows" / "README.md")
    listed = [path.strip("`") for cell in _ROW.findall(document.text) for path in re.findall(r"`[^`]+`", cell)]
    paths = [path if path.startswith("/") else f"/events?resource={path}" for path in listed]
    assert set(paths) == {*shown, *stories, "/artifacts/key/sms-queue-now"}
    with Browser() as page:
        for path, wanted in shown.items():
            page.go(prefect.server.url + path)
            links = [runs[kind] for kind in wanted]
            page.until(partial(_has, page, links), f"{path} shows no {' and '.join(wanted)}")
            others = [runs[kind] for kind in ("idle", "busy", "red", "desk") if kind not in wanted]
            assert not [link for link in others if link in page.run(_LINKS)], path
        for resource in stories.values():
            page.go(f"{prefect.server.url}/events?resource={quote(resource)}")
            page.sees("Sms text in doubt")
        page.go(f"{prefect.server.url}/artifacts/key/sms-queue-now")
        page.sees("Created sms-queue-now")
