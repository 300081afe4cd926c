"""What pyproject.toml cannot say: the folder `flows` is installed under another name, `smsretry_flows`.

A project that uses Prefect usually has a folder `flows` of its own, and Python would find only one of the two.
"""

import shutil
from pathlib import Path

from setuptools import find_namespace_packages, find_packages, setup

FLOWS = ["smsretry_flows", *(f"smsretry_flows.{name}" for name in find_packages("flows"))]
RENAMED = "flows"
"""Holds the two commands of 1.0.0 that began with `python -m flows.`, and no `__init__.py`: see their docstrings."""

# setuptools packs what an earlier `pip install .` left there, too: the package `flows` of 1.0.0, say.
shutil.rmtree(Path(__file__).with_name("build") / "lib", ignore_errors=True)

setup(
    packages=[*find_namespace_packages(include=["smsretry", "smsretry.*"]), *FLOWS, RENAMED],
    package_dir={"smsretry_flows": "flows", RENAMED: "flows/renamed"},
)
