"""Register every deployment of `prefect.yaml` for workers: `smsretry deploy`, which is `prefect deploy --all` with it.

It leaves the working directory first, where Prefect would look for `prefect.yaml` and for modules. They are usually
another project's.
"""

import os
import sys
from typing import NoReturn

from smsretry.adapters.prefect.definition import ROOT, definition_file

from .support.server import check_reach


def deploy_all() -> NoReturn:
    """Become `prefect deploy --all`. Its exit code is 1 if one of them was not registered."""
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
    os.chdir(ROOT)
    os.execv(sys.executable, [*command, "--prefect-file", str(definition_file())])  # noqa: S606 - no shell is meant


if __name__ == "__main__":
    check_reach()
    deploy_all()
