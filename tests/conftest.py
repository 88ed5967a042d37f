"""What every test file shares."""

from __future__ import annotations

import os

import pytest
import torch
from hypothesis import settings

for name in ("FORCE_COLOR", "PY_COLORS", "GITHUB_ACTIONS"):  # which Typer reads when it is loaded
    os.environ.pop(name, None)
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # else each process compiles the library anew

pytest.register_assert_rewrite("reference", "small_models", "answers", "handing_in")

# The same examples on every run and every machine; no time limit, since CI machines are shared.
settings.register_profile("n2n", derandomize=True, deadline=None, max_examples=30, database=None)
settings.load_profile("n2n")


@pytest.fixture(autouse=True)
def autograd_is_off():
    """The library must work without autograd; references that need it switch it on themselves."""
    with torch.set_grad_enabled(False):
        yield
