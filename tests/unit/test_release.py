"""What a release fixes: its number, and the migrations that databases have taken."""

import hashlib
import re
import tomllib
from pathlib import Path
from typing import Final

import yaml

from smsretry.adapters.migrations.migrate import migrations
from smsretry.local.demo.run import ROOT

RELEASED: Final = Path(__file__).with_name("released_migrations.sha256")
"""What `sha256sum` says of each migration that was released."""
NUMBER: Final = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]


def _released() -> dict[str, str]:
    lines = (line.split() for line in RELEASED.read_text(encoding="utf-8").splitlines())
    return {file: digest for digest, file in lines}


def test_a_released_migration_is_as_it_was_released() -> None:
    """Databases have taken it and take it only once: what is changed in it would never reach them."""
    now = {migration.file: hashlib.sha256(migration.text.encode()).hexdigest() for migration in migrations()}
    changed = [file for file, digest in _released().items() if now.get(file) != digest]
    assert not changed, (
        f"Released migrations were changed, renamed or removed: {', '.join(changed)}. Restore them (git checkout), "
        "make the change in smsretry/supabase/schemas, and write the next migration: "
        "python -m smsretry.adapters.migrations.next_migration NAME"
    )


def test_a_new_migration_comes_after_all_released_ones() -> None:
    """A database that has taken those would take it out of order, and `supabase db push` refuses that."""
    last = max(_released())
    new = [migration.file for migration in migrations() if migration.file not in _released()]
    early = [file for file in new if file < last]
    assert not early, f"give {', '.join(early)} a version above {last[:14]}"


def test_each_deployment_is_registered_under_the_number_of_the_package() -> None:
    """`prefect deploy` reads it in `prefect.yaml` and nowhere else: it would take the commit for the version."""
    deployments = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))["deployments"]
    assert {deployment["version"] for deployment in deployments} == {NUMBER}, "write pyproject.toml's into prefect.yaml"


def test_the_changelog_begins_with_the_number() -> None:
    """With its day, or marked as not released. A day is given once the migrations are frozen."""
    changelog = (ROOT / ".github" / "CHANGELOG.md").read_text(encoding="utf-8")
    newest, *_ = re.findall(r"^## (.+)$", changelog, re.M)
    assert re.fullmatch(rf"{re.escape(NUMBER)} \((unreleased|\d{{4}}-\d\d-\d\d)\)", newest)
    frozen = {migration.file for migration in migrations()} == _released().keys()
    assert frozen or newest.endswith("(unreleased)")
