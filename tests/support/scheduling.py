"""Which tests share a process of pytest-xdist: those of a file, and those that need a Prefect server."""

from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling

_SHARED = "from tests.e2e.conftest import"
"""Whoever names the type of a fixture there uses the Prefect server, which takes seconds to start. Files that mostly
wait take it from `tests.e2e.registry`, and have a server of their own.
"""


class ByFile(LoadFileScheduling):  # type: ignore[misc] # xdist has no type hints that mypy is told of
    """As `--dist=loadfile`, and one process has the files that share the Prefect server."""

    def __init__(self, config: pytest.Config, log: object) -> None:
        super().__init__(config, log)
        self._shares: dict[str, bool] = {}

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        if file not in self._shares:
            self._shares[file] = _SHARED in (self.config.rootpath / file).read_text(
                encoding="utf-8"
            )
        return "Prefect" if self._shares[file] else file

    def remove_node(self, node: Any) -> str | None:
        """The test whose process ended has failed, and is not tried again: it would hang there, too."""
        for tests in self.assigned_work[node].values():
            for test, is_done in tests.items():
                if not is_done:
                    tests[test] = True
                    super().remove_node(node)
                    return str(test)
        super().remove_node(node)
        return None
