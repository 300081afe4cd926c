"""Does anything notice when a safeguard is gone? Breaks one in a scratch copy of the last commit, and runs tests there.

    python -m tests.breaks smsretry/retry/doubt.py 'MIN_LOOKS: Final = 3' 'MIN_LOOKS: Final = 1' tests/integration/doubt

First a harmless edit of the same file: tests that fail for any edit notice nothing, and are thrown out. Exits with 0 if
one of the others fails without the safeguard.
"""

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

_ROOT = Path(__file__).parents[1]


def main() -> int:
    """Break it, and tell who noticed."""
    parser = argparse.ArgumentParser(prog="python -m tests.breaks", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("pattern", help="a regular expression, found once")
    parser.add_argument("instead")
    parser.add_argument("tests", nargs="+")
    options = parser.parse_args()
    with TemporaryDirectory(prefix="smsretry-breaks-") as folder:
        copy = Path(folder, "copy")
        subprocess.run(
            ["git", "worktree", "add", "--quiet", "--detach", copy, "HEAD"],
            cwd=_ROOT,
            check=True,
        )
        try:
            text = (copy / options.file).read_text(encoding="utf-8")
            broken, count = re.subn(options.pattern, options.instead, text)
            if count != 1:
                parser.error(f"the pattern is found {count} times")
            remark = "--" if options.file.suffix == ".sql" else "#"
            whatever = _failed(
                copy, options.file, f"{text}{remark} A remark.\n", options.tests
            )
            noticed = _failed(copy, options.file, broken, options.tests) - whatever
        finally:
            subprocess.run(
                ["git", "worktree", "remove", "--force", copy], cwd=_ROOT, check=True
            )
    sys.stdout.write(
        "".join(f"fails for any edit: {test}\n" for test in sorted(whatever))
    )
    sys.stdout.write(
        "".join(f"notices: {test}\n" for test in sorted(noticed))
        or "Nothing notices.\n"
    )
    return int(not noticed)


def _failed(copy: Path, file: Path, text: str, tests: Sequence[str]) -> set[str]:
    """The tests that fail with this text in the file."""
    (copy / file).write_text(text, encoding="utf-8")
    python, environment = (
        [sys.executable, "-m"],
        {**os.environ, "PYTHONPATH": str(copy)},
    )
    if file.suffix == ".sql":
        subprocess.run(
            [*python, "tests.record_schema"],
            cwd=copy,
            env=environment,
            check=True,
            stdout=subprocess.DEVNULL,
        )
    command = [
        *python,
        "pytest",
        "-q",
        "--tb=no",
        "-rfE",
        "-m",
        "",
        "-p",
        "no:cacheprovider",
        *tests,
    ]
    ran = subprocess.run(
        command, cwd=copy, env=environment, check=False, capture_output=True, text=True
    )
    if ran.returncode not in (0, 1):
        raise RuntimeError(ran.stdout[-2000:] + ran.stderr[-2000:])
    return set(re.findall(r"^(?:FAILED|ERROR) (\S+)", ran.stdout, re.MULTILINE))


if __name__ == "__main__":
    raise SystemExit(main())
