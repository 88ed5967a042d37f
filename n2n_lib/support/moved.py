"""Imports under the names of earlier releases.

Student editions that have been handed out say ``from n2n_lib.optim import cosine``. A folder in
which somebody works must go on running after an update, so these names lead to the files of now.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import sys
from types import ModuleType

MOVED = {
    "bench": "denoiser.bench",
    "check": "course.check",
    "classical": "denoiser.classical",
    "containers": "framework.containers",
    "conv": "framework.conv",
    "data": "",  # all that lessons took from it belongs to the public face
    "distributed": "framework.distributed",
    "evaluation": "denoiser.evaluation",
    "gradcheck": "framework.gradcheck",
    "init": "framework.init",
    "kernels": "framework.kernels",
    "metrics": "denoiser.metrics",
    "networks": "denoiser.networks",
    "noise": "denoiser.noise",
    "optim": "framework.optim",
    "stream": "denoiser.stream",
}
"""Where the modules that lessons have imported are now, below ``n2n_lib``."""


class _Finder:
    """Answer ``import n2n_lib.OLD`` with the module of now.

    A finder and a loader without the base classes of ``importlib.abc``, which bring along as many
    modules as all else that ``import n2n_lib`` needs.
    """

    def find_spec(self, fullname, path=None, target=None):  # noqa: D102
        package, _, old = fullname.partition(".")
        if package != "n2n_lib" or old.split(".")[0] not in MOVED:
            return None
        return importlib.machinery.ModuleSpec(fullname, self)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:  # noqa: D102
        package, old, *rest = spec.name.split(".")
        parts = [package, *filter(None, [MOVED[old]]), *rest]
        module = importlib.import_module(".".join(parts))
        spec.loader_state = module.__spec__  # the import system is about to write over it
        return module

    def exec_module(self, module: ModuleType) -> None:  # noqa: D102
        module.__spec__ = module.__spec__.loader_state


class _Package(ModuleType):
    """A package whose functions are not hidden by an old module of the same name."""

    def __setattr__(self, name: str, value: object) -> None:
        """Leave ``n2n_lib.gradcheck`` the function, whoever imports the module of old."""
        if not (isinstance(value, ModuleType) and name in self.__all__):
            super().__setattr__(name, value)


def install(package: ModuleType) -> None:
    """Let the names of earlier releases be imported from `package`, which is ``n2n_lib``."""
    package.__class__ = _Package
    # First: a handed-out folder that holds the library may still hold the old files as well.
    sys.meta_path.insert(0, _Finder())
