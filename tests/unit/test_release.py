"""What a release fixes: its number."""

import re
import tomllib

import yaml

from smsretry.local.demo.run import ROOT

NUMBER = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))[
    "project"
]["version"]


def test_each_deployment_is_registered_under_the_number_of_the_package() -> None:
    """`prefect deploy` reads it in `prefect.yaml` and nowhere else: it would take the commit for the version."""
    deployments = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))[
        "deployments"
    ]
    assert {deployment["version"] for deployment in deployments} == {NUMBER}, (
        "write pyproject.toml's into prefect.yaml"
    )


def test_the_changelog_begins_with_the_number() -> None:
    """With its day, or marked as not released."""
    changelog = (ROOT / ".github" / "CHANGELOG.md").read_text(encoding="utf-8")
    newest, *_ = re.findall(r"^## (.+)$", changelog, re.M)
    assert re.fullmatch(
        rf"{re.escape(NUMBER)} \((unreleased|\d{{4}}-\d\d-\d\d)\)", newest
    )
