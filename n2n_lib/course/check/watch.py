"""See what an answer does while it runs: ready-made functions, loops, float32, copies.

What a lesson allows is tensor operations, `unfold` and `fold`. Everything else that the solution of
an exercise does not use either is *ready-made*: PyTorch's layers, losses, optimisers and autograd,
other libraries, and of ours what this lesson or a later one derives. It is seen where it is
called, so no other name hides it: Python tells of every call of a function (`sys.setprofile`),
PyTorch of every operation (`TorchDispatchMode`). Only what the answer itself calls counts, not what
that calls. A profiler that is there already goes on meanwhile, or is paused.
"""

from __future__ import annotations

import dis
import functools
import os
import re
import sys
import sysconfig
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import n2n_lib
from n2n_lib.course.lessons import FIRST_LESSON, number_of

OURS = str(Path(n2n_lib.__file__).parent) + os.sep
TORCH = str(Path(torch.__file__).parent) + os.sep
CHECKS = OURS + os.path.join("course", "check") + os.sep
OUTCOME = CHECKS + "outcome.py"
INSTALLED = tuple(
    {sysconfig.get_path(name) + os.sep for name in ("stdlib", "platstdlib", "purelib", "platlib")}
)

OF_TORCH = re.compile(
    r"torch\.(nn\.modules|optim|func|_functorch|jit|_dynamo)\b"
    r"|torch\.nn\.(init|utils)\b"
    r"|torch\.nn\.functional\.(?!fold$|unfold$|pad$|_pad$|one_hot$|normalize$)"
    r"|torch\.autograd\.(?!grad_mode\b|function\b)"
    r"|torch\._tensor\.backward$"
)
"""Functions of PyTorch that are ready-made, by module and name."""

OPERATIONS = re.compile(
    r"\w*conv(olution)?(\d|_|$)\w*|\w*_pool\w*|upsample_\w+|grid_sampler\w*"
    r"|log_sigmoid\w*|softplus\w*|silu\w*|gelu\w*|mish\w*|hardsigmoid\w*"
    r"|\w+_loss\w*|\w*(batch|layer|group|instance)_norm\w*|_fused_\w+"
)
"""Operations of PyTorch that are ready-made, by the names of its own library of operators."""

NAMESAKES = {"relu", "leaky_relu", "elu", "sigmoid"}
"""Operations that are ready-made in the exercise that asks for them, and nowhere else."""

LIBRARIES = ("scipy", "skimage", "sklearn", "cv2", "bm3d", "pywt", "torchvision")
"""Other libraries, whose functions are ready-made."""

OF_OWN_CODE = ("n2n_lib.course.check.", "n2n_lib.course.check:", "n2n_lib.framework.module:")
"""Of the library, what may be called where own code is asked for: the student's answers."""

LOOPS = {"FOR_ITER", "JUMP_BACKWARD", "JUMP_BACKWARD_NO_INTERRUPT", "JUMP_ABSOLUTE"}
"""Instructions of Python that are in every loop, and in nothing else that an answer needs."""


class Asked(Protocol):
    """What a watch has to know of an exercise."""

    name: str
    topic: str
    solution: Callable[..., Any]


@dataclass(frozen=True)
class Seen:
    """What was seen while an answer ran.

    Attributes
    ----------
    used : tuple of str
        The ready-made functions that it called.
    single : bool
        Whether a float32 tensor came up although every argument was float64.
    loops : bool
        Whether there is a loop in its code.
    copied : bool
        Whether the result does not share the memory of the argument that it should be a view of.
    moved : bool
        Whether a tensor among the arguments lies elsewhere in memory afterwards.
    """

    used: tuple[str, ...] = ()
    single: bool = False
    loops: bool = False
    copied: bool = False
    moved: bool = False


class Watch:
    """See what happens inside a ``with`` block.

    Parameters
    ----------
    allowed : collection of str
        Ready-made functions that do not count.
    exercise : Asked, optional
        What is answered; it says which of the library's functions and which operations are
        ready-made. Default: none is.
    of_solution : bool
        Whether the code of the checks is watched, and not that of a student.
    """

    def __init__(
        self,
        allowed: Sequence[str] = (),
        exercise: Asked | None = None,
        of_solution: bool = False,
    ) -> None:
        self._allowed, self._exercise, self._of_solution = frozenset(allowed), exercise, of_solution
        self._own = f"{exercise.solution.__module__}:{exercise.name}" if exercise else ""
        module = sys.modules.get(exercise.solution.__module__) if exercise else None
        self._file = getattr(module, "__file__", None) or CHECKS  # an exercise may be elsewhere
        self._used: dict[str, None] = {}
        self._loops = False
        self._operations = _Operations(self._note_operation)

    @property
    def seen(self) -> Seen:
        """What was seen so far."""
        return Seen(tuple(self._used), self._operations.single, self._loops)

    def __enter__(self) -> Watch:
        self._operations.__enter__()
        self._before = sys.getprofile()
        if callable(self._before):
            sys.setprofile(self._note_call_and_go_on)
        else:
            if self._before is not None:  # one in C, as cProfile: Python has but one place for both
                self._before.disable()
            sys.setprofile(self._note_call)
        return self

    def __exit__(self, *exception: object) -> None:
        try:
            sys.setprofile(self._before if callable(self._before) else None)
            if self._before is not None and not callable(self._before):
                self._before.enable()
        finally:
            self._operations.__exit__(*exception)

    def _note(self, name: str) -> None:
        if name not in self._allowed:
            self._used[name] = None

    def _note_call(self, frame: FrameType, event: str, _: Any) -> None:
        if event != "call":
            return
        kind, name = _kind_and_name(frame.f_code)
        if kind == "student":
            self._loops |= _has_loop(frame.f_code)
        if not name:
            return
        if self._is_own(name):
            by = frame.f_back.f_code.co_filename if frame.f_back else ""
            if by != frame.f_code.co_filename and not self._of_solution:  # not `Exercise.use`
                self._note(name)
        elif self._is_answers(frame.f_back) and self._is_ready_made(name):
            self._note(name)

    def _note_call_and_go_on(self, frame: FrameType, event: str, argument: Any) -> None:
        self._note_call(frame, event, argument)
        self._before(frame, event, argument)

    def _note_operation(self, function: Any) -> None:
        name = function._schema.name.partition("::")[2]
        if _is_ready_made_operation(name, self._exercise) and self._is_answers(_outside_torch()):
            self._note(f"torch's {name.lstrip('_')}")

    def _is_answers(self, frame: FrameType | None) -> bool:
        """Whether a frame belongs to the code that is watched."""
        if frame is None:
            return False
        if self._of_solution:
            return frame.f_code.co_filename.startswith((CHECKS, self._file))
        if frame.f_code.co_filename == OUTCOME and frame.f_code.co_name == "watched":
            return True  # a function of PyTorch's is the answer itself
        return is_students(frame.f_code)

    def _is_ready_made(self, name: str) -> bool:
        if not name.startswith(("n2n_lib.", "n2n_lib:")):
            return True
        if getattr(self._exercise, "own_code", False):
            return not name.startswith(OF_OWN_CODE)
        return self._exercise is not None and _is_derived_later(name, self._exercise.topic)

    def _is_own(self, name: str) -> bool:
        """Whether a function is the solution, or a method of it."""
        return bool(self._own) and (name == self._own or name.startswith(f"{self._own}."))


class _Operations(TorchDispatchMode):
    """See every operation of PyTorch, whatever it was called by.

    There are thousands of them in a loop over pixels, so it looks at most of them but briefly.
    """

    def __init__(self, note: Callable[[Any], None]) -> None:
        super().__init__()
        self._note = note
        self._plain: set[Any] = set()
        self.single = False

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Say no: a yes wraps what follows for the compiler, whose import takes seconds."""
        return False

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        result = function(*args, **kwargs) if kwargs else function(*args)
        if not self.single and isinstance(result, Tensor):
            self.single = result.dtype is torch.float32
        if function not in self._plain:
            if _may_be_ready_made(function):
                self._note(function)
            else:
                self._plain.add(function)
        return result


def _may_be_ready_made(function: Any) -> bool:
    name = function._schema.name.partition("::")[2]
    return name.removesuffix("_") in NAMESAKES or bool(OPERATIONS.fullmatch(name))


def _is_ready_made_operation(name: str, exercise: Asked | None) -> bool:
    plain = name.removesuffix("_")
    if plain in NAMESAKES:
        name = exercise.name.lower() if exercise else ""
        return plain in name and "backward" not in name
    return bool(OPERATIONS.fullmatch(name))


def _outside_torch() -> FrameType | None:
    """Return the innermost frame that is neither PyTorch's nor of this file."""
    frame = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith((TORCH, __file__)):
        frame = frame.f_back
    return frame


@functools.cache
def _kind_and_name(code: CodeType) -> tuple[str, str]:
    """Say whose a function is, and its name if it might be ready-made."""
    file = code.co_filename
    if file.startswith(OURS):
        module = "n2n_lib." + file[len(OURS) :].removesuffix(".py").replace(os.sep, ".")
        method = "self." if code.co_varnames[:1] == ("self",) else ""  # Python 3.10 knows no class
        qualified = getattr(code, "co_qualname", method + code.co_name)
        return "ours", f"{module.removesuffix('.__init__')}:{qualified}"
    if file.startswith(TORCH):
        module = "torch." + file[len(TORCH) :].removesuffix(".py").replace(os.sep, ".")
        name = f"{module.removesuffix('.__init__')}.{code.co_name}"
        return "torch", name if OF_TORCH.match(name) else ""
    for folder in INSTALLED:
        if file.startswith(folder):
            first = file[len(folder) :].partition(os.sep)[0]
            return "installed", f"{first}.{code.co_name}" if first in LIBRARIES else ""
    return ("installed" if file.startswith("<frozen") else "student"), ""


def is_students(code: CodeType) -> bool:
    """Whether a function is neither of this library nor of anything that is installed."""
    return _kind_and_name(code)[0] == "student"


def _is_derived_later(name: str, topic: str) -> bool:
    """Whether a function of the library is derived in the lesson of a topic, or in a later one.

    Methods of objects are not meant: an answer may call those of what it is given.
    """
    module, _, function = name.partition(":")
    owner, _, method = function.rpartition(".")
    if owner and method != "__init__":
        return False
    for each in (owner or method, module.removeprefix("n2n_lib.")):
        if each in FIRST_LESSON:
            return number_of(FIRST_LESSON[each]) >= number_of(topic)
    return False


@functools.cache
def _has_loop(code: CodeType) -> bool:
    return any(instruction.opname in LOOPS for instruction in dis.get_instructions(code))
