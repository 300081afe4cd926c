"""What a release fixes: its number, and the packages that it needs."""

import re
import sys
import tomllib
from importlib.metadata import packages_distributions

import yaml

from smsretry.local.demo.run import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))[
    "project"
]
NUMBER = PROJECT["version"]
BOUNDLESS = {"tzdata", "cryptography", "pytest"}
"""Their first number says nothing of what changes, or it is the reader's own."""


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


def test_each_package_that_is_imported_is_declared_with_the_next_major_as_its_bound() -> (
    None
):
    """Also what comes along with another one: that may stop bringing it."""
    extras = PROJECT["optional-dependencies"]
    lines = [*PROJECT["dependencies"], *extras["local"], "pytest"]
    declared = {
        re.split(r"[^\w-]", line)[0].lower().replace("_", "-"): line for line in lines
    }
    modules = {
        module
        for folder in ("smsretry", "flows")
        for path in (ROOT / folder).rglob("*.py")
        for module in re.findall(
            r"^\s*(?:from|import) (\w+)", path.read_text(encoding="utf-8"), re.M
        )
    }
    distributions = packages_distributions()
    imported = {
        distributions[module][0].lower().replace("_", "-")
        for module in modules - sys.stdlib_module_names
        if module in distributions
    } - {"smsretry"}
    assert imported - declared.keys() == set()
    unbounded = {name for name, line in declared.items() if "<" not in line}
    assert unbounded == BOUNDLESS


def test_each_python_that_ci_tries_is_among_the_classifiers() -> None:
    """A reader of the index sees what is tried."""
    workflow = (ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8")
    tried = yaml.safe_load(workflow)["jobs"]["check"]["strategy"]["matrix"]["python"]
    prefix = "Programming Language :: Python :: "
    assert [
        line.removeprefix(prefix)
        for line in PROJECT["classifiers"]
        if line.startswith(prefix)
    ] == tried
