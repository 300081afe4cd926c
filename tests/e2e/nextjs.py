"""A project of Next.js whose one page is the webhook that the documents show, built as its owner builds it."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx
import pytest

from smsretry.local.process.http import free_port
from tests.support.waiting import until

PACKAGES: Final = {"next": "16.4.6", "react": "19.3.1", "react-dom": "19.3.1", "twilio": "6.2.0"}
_TYPES: Final = {"@types/node": "26.6.6", "@types/react": "19.3.0", "typescript": "7.0.2"}
_QUIET: Final = {**os.environ, "NEXT_TELEMETRY_DISABLED": "1"}


def build(project: Path, route: str) -> Path:
    """Install, check the types strictly, and build. Needs npm and its registry."""
    if shutil.which("npm") is None:
        pytest.skip("no npm")
    package = {"private": True, "dependencies": PACKAGES, "devDependencies": _TYPES}
    (project / "package.json").write_text(json.dumps(package), encoding="utf-8")
    (project / "tsconfig.json").write_text('{"compilerOptions": {"strict": true}}', encoding="utf-8")
    page = project / "app" / "twilio" / "route.ts"
    page.parent.mkdir(parents=True)
    page.write_text(route, encoding="utf-8")
    for command in (["npm", "install", "--silent", "--no-audit", "--no-fund"], ["npx", "next", "build"]):
        done = subprocess.run(command, cwd=project, env=_QUIET, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    return project


@contextmanager
def serving(project: Path, environment: Mapping[str, str]) -> Iterator[str]:
    """`next start` with this environment; its address."""
    port = str(free_port())
    command = ["node", "node_modules/next/dist/bin/next", "start", "--hostname", "127.0.0.1", "--port", port]
    with subprocess.Popen(command, cwd=project, env={**_QUIET, **environment}, stdout=subprocess.DEVNULL) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            until(lambda: _answers(url))
            yield url
        finally:
            process.terminate()


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/twilio").status_code == 405
    except httpx.TransportError:
        return False
