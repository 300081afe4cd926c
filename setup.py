"""What pyproject.toml cannot say: the wheel has prefect.yaml beside flows/serve.py, which reads it there.

In the repository the file stays at the top, where `prefect deploy` looks for it.
"""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithDeployments(build_py):
    """Build as always, then add the deployments' definition."""

    def run(self) -> None:
        """Copy it, except for an editable install, which uses the repository's own."""
        super().run()
        if not self.editable_mode:
            self.copy_file("prefect.yaml", str(Path(self.build_lib, "flows", "prefect.yaml")))


setup(cmdclass={"build_py": BuildWithDeployments})
