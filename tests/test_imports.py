"""What is loaded before the first output: nothing that takes long and is not used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from commands import ROOT, environment

from n2n_lib.denoiser.images import save_image
from n2n_lib.denoiser.photographs import photograph

HEAVY = {"torch", "numpy", "matplotlib", "skimage", "sklearn", "scipy", "pandas", "PIL", "tqdm"}
UNUSED = {"sklearn", "scipy", "pandas", "sympy", "torch._dynamo"}
"""A lesson's first picture needs PyTorch and matplotlib. Each of these takes a quarter of a second
or more: scikit-learn and SciPy, to read one photograph; PyTorch's compiler and its SymPy, to write
into tensors without memory."""


def loaded(code: str, names: set[str], cwd: Path = ROOT) -> set[str]:
    """Run `code`, and return which of these modules are loaded at its end."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint(*{names!r} & sys.modules.keys())"],
        env=environment(),
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


def first_picture() -> str:
    """Return the code of lesson 01 up to its first picture."""
    lesson = nbformat.read(ROOT / "notebooks/01_two_noisy_copies.ipynb", as_version=4)
    code = []
    for cell in lesson.cells:
        if cell.cell_type == "code":
            code.append(cell.source)
            if any("image/png" in output.get("data", ()) for output in cell.outputs):
                return "\n".join(code)
    raise AssertionError("lesson 01 has no picture")


def test_the_library_loads_nothing_by_itself():
    assert loaded("import n2n_lib", HEAVY) == set()


def test_what_is_looked_for_is_found():
    assert loaded("from n2n_lib.denoiser.metrics import ssim; import torch", HEAVY) >= {"torch"}
    code = "import torch; from n2n_lib import ssim; ssim(torch.ones(3, 8, 8), torch.ones(3, 8, 8))"
    assert loaded(code, UNUSED) >= {"scipy"}


def test_the_first_picture_of_the_lessons():
    code = first_picture()
    assert "plots." in code and "sample_pairs(" in code
    assert loaded(code, UNUSED) == set()


@pytest.mark.parametrize("name", ["report", "unet"])
def test_a_model_is_loaded_and_used(name: str):
    code = f"from n2n_lib import Model, photograph; Model.load({name!r}).predict"
    assert loaded(f"{code}(photograph('chelsea')[:, :32, :32])", UNUSED) == set()


def test_a_picture_is_denoised(tmp_path: Path):
    save_image(photograph("chelsea")[:, :64, :64], tmp_path / "small.png")
    code = (
        "import sys; sys.argv = ['n2n', 'denoise', 'small.png']\n"
        "from n2n_lib.__main__ import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code\n"
    )
    assert loaded(code, UNUSED, cwd=tmp_path) == set()
    assert (tmp_path / "denoised" / "small-denoised.png").exists()
