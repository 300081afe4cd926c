"""What doctor found, as a page: what is bad first, then the warnings, then what is in order."""

from collections.abc import Sequence
from typing import Final

from smsretry.desk.pages.answers import Page
from smsretry.desk.pages.markdown import outline, page, plain
from smsretry.retry.models import Finding

_LOOKED_FROM: Final = "Seen from where the runs happen: their environment, their network, their clock."


def doctor_page(findings: Sequence[Finding]) -> Page:
    """The findings by color."""
    bad = [one for one in findings if not one.ok]
    warnings = [one for one in findings if one.ok and one.advice]
    in_order = [one for one in findings if one.ok and not one.advice]
    name = f"bad {len(bad)} · warnings {len(warnings)} · ok {len(in_order)}"
    parts = [
        f"## {color} {word}\n\n{outline(map(_line, found))}"
        for color, word, found in (("🔴", "Bad", bad), ("🟠", "Warnings", warnings), ("🟢", "In order", in_order))
        if found
    ]
    lines = [*(f"bad  {_line(one)}" for one in bad), *(f"warn {_line(one)}" for one in warnings)]
    return Page(name, name, page(f"# {plain(name)}", _LOOKED_FROM, *parts), (name, *lines))


def _line(finding: Finding) -> str:
    return f"{finding.subject}: {finding.advice}" if finding.advice else finding.subject
