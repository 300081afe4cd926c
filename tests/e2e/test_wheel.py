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
from smsretry.local.process.guarded_process import inherited

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


pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of the sources."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in NEEDED:
        source, target = ROOT / name, folder / "source" / name
        target.parent.mkdir(exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    pip("wheel", "--no-build-isolation", "--wheel-dir", str(folder), str(folder / "source"))
    [built] = folder.glob("*.whl")
    return built


def pip(*arguments: str) -> None:
    """Run pip without the network."""
    command = [sys.executable, "-m", "pip", arguments[0], "--quiet", "--no-deps", "--no-index", *arguments[1:]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def site(wheel: Path) -> Path:
    """Where only the wheel is installed."""
    pip("install", "--target", str(wheel.with_name("site")), str(wheel))
    return wheel.with_name("site")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Somebody's project, as Prefect's documentation lays one out, and with a module of our name."""
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "__init__.py").touch()
    (tmp_path / "flows" / "mine.py").write_text("MINE = 'of the project'")
    (tmp_path / "smsretry.py").write_text("raise ImportError('of the project')")
    (tmp_path / "prefect.yaml").write_text("deployments: []")
    return tmp_path


def run(
    site: Path, folder: Path, *command: str | Path, path: tuple[Path, ...] = ()
) -> "subprocess.CompletedProcess[str]":
    """Run a command in that folder, with what is installed and no Prefect server."""
    environment = {name: value for name, value in inherited().items() if name != "PYTHONPATH"}
    found = os.pathsep.join(map(str, [site, *path]))
    return subprocess.run(
        command,
        cwd=folder,
        env={**environment, "PYTHONPATH": found, "PREFECT_HOME": str(folder / "home")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_deployments_are_found_beside_a_projects_own_flows(site: Path, project: Path) -> None:
    """With the entrypoints that `prefect.yaml` has. The project's package `flows` is found, too, even after ours."""
    done = run(site, project, sys.executable, "-P", "-c", SHOW, path=(project,))
    assert done.returncode == 0, done.stderr
    deployments, migrations, version, mine = json.loads(done.stdout)
    assert mine == "of the project"
    defined = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))["deployments"]
    assert deployments == [[entry["name"], entry["entrypoint"], len(entry.get("schedules", []))] for entry in defined]
    assert {version} == {entry["version"] for entry in defined}
    assert migrations == len(list((ROOT / "smsretry" / "supabase" / "migrations").glob("*.sql")))


def test_the_command_works_in_the_projects_folder(site: Path, project: Path) -> None:
    """It comes as far as it can without a server: neither the project's modules nor its `prefect.yaml` are ours."""
    done = run(site, project, site / "bin" / "smsretry", "serve")
    assert done.stderr.startswith("PREFECT_API_URL is not set"), done.stderr
    assert (done.returncode, done.stdout) == (1, "")


def test_the_wheel_holds_every_table_and_sql_file_and_no_tests(wheel: Path) -> None:
    """Data files go in by pattern; one that no pattern names would be missed only by users."""
    held = {name.partition(".data/data/")[2] or name for name in zipfile.ZipFile(wheel).namelist()}
    held = {name for name in held if ".dist-info/" not in name}
    sources = [path for room in ("flows", "smsretry") for path in (ROOT / room).rglob("*") if path.is_file()]
    wanted = {str(path.relative_to(ROOT)) for path in sources if path.suffix not in (".md", ".pyc")}
    installed = {re.sub("^flows/", "smsretry_flows/", name) for name in wanted}
    assert held == installed | {"share/smsretry/prefect.yaml"}
