"""Put the lessons into the wheel; everything else about the package stands in pyproject.toml.

The lessons lie beside the package, where people look for them, and an installed package can only
take along what lies inside it. So a build copies them, and what `n2n student --library` hands out
with them, to `n2n_lib/project`. An editable install copies nothing: it uses `notebooks` itself.
"""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

PROJECT = Path("n2n_lib", "project")
"""Where the copies lie in the wheel, as they lie in the project."""

CARRIED = (
    "notebooks/*.ipynb",
    "notebooks/*.bin",
    "notebooks/README.md",
    "notebooks/nbval_sanitize.cfg",
    "README.md",
    "LICENSE",
    "constraints.txt",
    "environment.yml",
    "pyproject.toml",
)
"""What is copied, from the folder of the project."""


class BuildWithLessons(build_py):
    """The step of a build that gathers the files of the package, and then the lessons."""

    def run(self) -> None:
        """Gather the files."""
        super().run()
        if not self.editable_mode:
            for source, target in self._carried().items():
                self.mkpath(str(Path(target).parent))
                self.copy_file(source, target)

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        """List what `run` writes."""
        carried = [] if self.editable_mode else list(self._carried().values())
        return super().get_outputs(include_bytecode) + carried

    def _carried(self) -> dict[str, str]:
        """Return where each file goes."""
        paths = [path for pattern in CARRIED for path in sorted(Path().glob(pattern))]
        return {str(path): str(Path(self.build_lib, PROJECT, path)) for path in paths}


setup(cmdclass={"build_py": BuildWithLessons})
