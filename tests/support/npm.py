"""Programs of npm's that tests run: `.ci/package.json` says which."""

import os
from pathlib import Path

import pytest

from smsretry.local.demo.run import ROOT


def npm_tool(name: str) -> Path:
    """A program of npm's. Skips the test where it is not installed, unless CI requires it."""
    program = ROOT / ".ci" / "node_modules" / ".bin" / name
    if not program.exists():
        missing = pytest.fail if os.environ.get("SMSRETRY_REQUIRE_NPM") else pytest.skip
        missing(f"no {name}: `npm install --prefix .ci`")
    return program
