"""The folder `flows` is installed as `smsretry_flows`, and its flows are known by entrypoints that name modules."""

import ast
import tomllib
from importlib import import_module
from pathlib import Path

import yaml
from prefect import Flow

import flows
from smsretry.adapters.prefect.definition import definition

FOLDER = Path(flows.__path__[0])


def test_no_module_of_the_folder_imports_another_by_the_name_that_only_the_repository_has() -> None:
    """It would be found in the repository, and nowhere else; or it would be a module of somebody's project."""
    for file in FOLDER.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            by_name = [name for name in names if name.partition(".")[0] in ("flows", "smsretry_flows")]
            assert not by_name, f"{file.relative_to(FOLDER.parent)} imports {by_name[0]}: import it relatively"


def test_each_entrypoint_names_a_function_of_a_module_there() -> None:
    """By its installed name."""
    for entry in yaml.safe_load(definition())["deployments"]:
        package, module, function = entry["entrypoint"].split(".")
        assert package == "smsretry_flows"
        assert isinstance(getattr(import_module(f"flows.{module}"), function), Flow)


def test_every_folder_with_modules_is_packed() -> None:
    """The packages are listed, because setuptools finds none under another name."""
    top = FOLDER.parent
    project = tomllib.loads((top / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    renamed = project["package-dir"]
    packed = {
        renamed.get(name) or name.replace(".", "/").replace("smsretry_flows/", "flows/") for name in project["packages"]
    }
    there = {str(file.parent.relative_to(top)) for part in ("flows", "smsretry") for file in (top / part).rglob("*.py")}
    assert packed == there
