"""supabase-js against tables: the client of the application itself, which sends other headers than supabase-py."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.conformance.conftest import Endpoint

_SCRIPT: Final = Path(__file__).with_name("supabase_js.cjs")
_EXPECTED: Final = [
    [201, None, None],
    [201, {"id": 2, "word": "two"}, None],
    [201, [{"id": 3, "read": None}, {"id": 4, "read": True}], None],
    [409, "23505", None],
    [200, {"word": "due"}, None],
    [406, "PGRST116", None],
    [200, [{"word": "deux"}], None],
    [201, [{"id": 5}], None],
    [200, [{"id": 2, "word": "deux"}, {"id": 1, "word": "one"}], None],
    [200, [{"id": 2}, {"id": 3}], None],
    [200, [{"id": 2}], None],
    [200, None, 4],
    [200, [{"id": 4}, {"id": 5}], None],
    [200, None, None],
    [406, "PGRST116", None],
    [204, None, None],
    [200, [{"id": 3}], None],
    [404, "PGRST205", None],
    [400, "42703", None],
]
"""Status, data or the error's code, and count, in the order of the script's calls."""


@pytest.mark.by_hand
def test_the_applications_client_works_on_tables(postgrest: Endpoint) -> None:
    """`.from()`: insert, select, update, upsert, delete, single, maybeSingle, counts and errors."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("no Node: install version 20 or later")
    found = subprocess.run([node, "-e", "require.resolve('@supabase/supabase-js')"], capture_output=True, timeout=30)
    if found.returncode:
        pytest.skip("no supabase-js: npm install @supabase/supabase-js, and set NODE_PATH to its node_modules")

    command = [node, str(_SCRIPT), postgrest.url, postgrest.service]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == _EXPECTED
