"""The wheel holds all that an installed smsretry needs."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

from smsretry.local.demo.run import ROOT

NEEDED = ("flows", "smsretry", "LICENSE", "README.md", "prefect.yaml", "pyproject.toml")
SHOW = """
import json
from importlib.metadata import version
from flows.serve import deployments
from smsretry.adapters.migrations.migrate import migrations
from smsretry import check_quiet_hours
served = [[d.name, d.entrypoint, len(d.schedules)] for d in deployments()]
print(json.dumps([served, len(migrations()), version("smsretry")]))
"""


pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of the sources so that nothing is left in the repository."""
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


def test_the_deployments_are_found_where_only_the_wheel_is_installed(wheel: Path, tmp_path: Path) -> None:
    """From an empty working directory, with the entrypoint that `prefect.yaml` has."""
    pip("install", "--target", str(tmp_path / "site"), str(wheel))
    (tmp_path / "empty").mkdir()
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", SHOW],
        cwd=tmp_path / "empty",
        env={**environment, "PYTHONPATH": str(tmp_path / "site"), "PREFECT_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    deployments, migrations, version = json.loads(done.stdout)
    defined = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))["deployments"]
    assert deployments == [[entry["name"], entry["entrypoint"], len(entry.get("schedules", []))] for entry in defined]
    assert {version} == {entry["version"] for entry in defined}
    assert migrations == len(list((ROOT / "smsretry" / "supabase" / "migrations").glob("*.sql")))


def test_the_wheel_holds_every_table_and_sql_file_and_no_tests(wheel: Path) -> None:
    """Data files go in by pattern; one that no pattern names would be missed only by users."""
    held = {name.partition(".data/data/")[2] or name for name in zipfile.ZipFile(wheel).namelist()}
    held = {name for name in held if ".dist-info/" not in name}
    sources = [path for room in ("flows", "smsretry") for path in (ROOT / room).rglob("*") if path.is_file()]
    wanted = {str(path.relative_to(ROOT)) for path in sources if path.suffix not in (".md", ".pyc")}
    assert held == wanted | {"share/smsretry/prefect.yaml"}
