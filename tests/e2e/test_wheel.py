"""The wheel holds all that an installed smsretry needs, and takes no name from the project it is installed for."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

from smsretry.local.demo.run import ROOT
from smsretry.local.process.child_process import inherited

pytestmark = pytest.mark.long

NEEDED = ("flows", "smsretry", "LICENSE", "README.md", "prefect.yaml", "pyproject.toml")
SHOW = """
import json
from importlib.metadata import version
from smsretry_flows.serve import deployments
from smsretry.adapters.migrations.migrate import migrations
from smsretry import check_quiet_hours
from flows.mine import MINE
served = [[d.name, d.entrypoint, len(d.schedules)] for d in deployments()]
print(json.dumps([served, len(migrations()), version("smsretry"), MINE]))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of the sources. Beside it, in `site`, it is installed alone."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in NEEDED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        (folder / "source").mkdir(exist_ok=True)
        copy(ROOT / name, folder / "source" / name)
    pip(
        "wheel",
        "--no-build-isolation",
        "--wheel-dir",
        str(folder),
        str(folder / "source"),
    )
    [built] = folder.glob("*.whl")
    pip("install", "--target", str(folder / "site"), str(built))
    return built


def pip(*arguments: str) -> None:
    """Run pip without the network."""
    command = [
        sys.executable,
        "-m",
        "pip",
        arguments[0],
        "--quiet",
        "--no-deps",
        "--no-index",
        *arguments[1:],
    ]
    result = subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_it_works_in_somebody_elses_project(wheel: Path, tmp_path: Path) -> None:
    """As Prefect's documentation lays one out, and with a module of our name: the deployments are found with the
    entrypoints that `prefect.yaml` has, and so is the project's package `flows`. Without a server `serve` says so.
    """
    files = {
        "flows/__init__.py": "",
        "flows/mine.py": "MINE = 'of the project'",
        "prefect.yaml": "deployments: []",
    }
    (tmp_path / "flows").mkdir()
    for name, text in (
        files | {"smsretry.py": "raise ImportError('of the project')"}
    ).items():
        (tmp_path / name).write_text(text)
    site, environment = (
        wheel.with_name("site"),
        {**inherited(), "PREFECT_HOME": str(tmp_path / "home")},
    )

    def run(*command: str, path: list[Path]) -> "subprocess.CompletedProcess[str]":
        found = {**environment, "PYTHONPATH": os.pathsep.join(map(str, path))}
        return subprocess.run(
            command,
            cwd=tmp_path,
            env=found,
            capture_output=True,
            text=True,
            check=False,
        )

    result = run(sys.executable, "-P", "-c", SHOW, path=[site, tmp_path])
    assert result.returncode == 0, result.stderr
    defined = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))[
        "deployments"
    ]
    assert json.loads(result.stdout) == [
        [
            [entry["name"], entry["entrypoint"], len(entry.get("schedules", []))]
            for entry in defined
        ],
        len(list((ROOT / "smsretry" / "supabase" / "migrations").glob("*.sql"))),
        defined[0]["version"],
        "of the project",
    ]
    result = run(str(site / "bin" / "smsretry"), "serve", path=[site])
    assert result.stderr.startswith("PREFECT_API_URL is not set"), result.stderr
    assert (result.returncode, result.stdout) == (1, "")


def test_it_holds_every_table_and_sql_file_and_no_tests(wheel: Path) -> None:
    """Data files go in by pattern; one that no pattern names would be missed only by users."""
    held = {
        name.partition(".data/data/")[2] or name
        for name in zipfile.ZipFile(wheel).namelist()
    }
    held = {name for name in held if ".dist-info/" not in name}
    sources = [
        path
        for room in ("flows", "smsretry")
        for path in (ROOT / room).rglob("*")
        if path.is_file()
    ]
    wanted = {
        str(path.relative_to(ROOT))
        for path in sources
        if path.suffix not in (".md", ".pyc")
    }
    installed = {re.sub("^flows/", "smsretry_flows/", name) for name in wanted}
    assert held == installed | {"share/smsretry/prefect.yaml"}
