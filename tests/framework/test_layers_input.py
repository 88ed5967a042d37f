"""Bad input: one clear error that names what was expected and what came, and nothing changes."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from functools import partial

import pytest
import torch
from reference import (
    TRAINABLE,
    assert_same,
    every_kernel_set,
    every_trainable,
    generator,
    random_values,
    small_chain,
    state,
    through_ours,
)
from torch import Tensor

from n2n_lib.framework.activations import ELU, LeakyReLU, ReLU, Sigmoid
from n2n_lib.framework.containers import Concat, Residual, Sequential
from n2n_lib.framework.conv import Conv2d
from n2n_lib.framework.kernels import use_kernels
from n2n_lib.framework.losses import L1Loss, MSELoss
from n2n_lib.framework.module import Module
from n2n_lib.framework.transposed import ConvTranspose2d
from n2n_lib.framework.upsampling import NNUpsampling, Upsampling


def assert_refuses(call: Callable, error: type[Exception], *fragments: str) -> None:
    """The call raises exactly this error, in one line that holds every fragment in order."""
    with pytest.raises(error) as caught:
        call()
    message = str(caught.value)
    assert type(caught.value) is error
    assert "\n" not in message
    position = 0
    for fragment in ("expected", *fragments):
        assert fragment in message[position:], f"no {fragment!r} in {message!r}"
        position = message.index(fragment, position)


# ------------------------------------------------------------------------------ constructors

NOT_SIZES = [
    (0, ValueError, "got 0"),
    (-1, ValueError, "got -1"),
    ((2, 0), ValueError, "got (2, 0)"),
    (2.0, TypeError, "got 2.0"),
    (math.nan, TypeError, "got nan"),
    ("3", TypeError, "got '3'"),
    (None, TypeError, "got None"),
    (True, TypeError, "got True"),
    ((2, 1.5), TypeError, "got (2, 1.5)"),
    ((1, 2, 3), TypeError, "got (1, 2, 3)"),
    ((), TypeError, "got ()"),
]
bad_sizes = pytest.mark.parametrize(
    "value, error, got", NOT_SIZES, ids=[repr(v[0]) for v in NOT_SIZES]
)


@bad_sizes
@pytest.mark.parametrize("name", ["kernel_size", "stride", "dilation", "padding"])
@pytest.mark.parametrize("build", [Conv2d, Upsampling, ConvTranspose2d])
def test_geometry(build: type, name: str, value: object, error: type, got: str) -> None:
    arguments = {"in_channels": 3, "out_channels": 4, "kernel_size": 2, name: value}
    if name == "padding" and value in (0, (2, 0)) and not isinstance(value, bool):
        assert build(**arguments).param()  # no padding is allowed
    else:
        assert_refuses(lambda: build(**arguments), error, name, got)


@bad_sizes
@pytest.mark.parametrize(
    "build", [NNUpsampling, lambda scale_factor: Upsampling(3, 4, 2, scale_factor=scale_factor)]
)
def test_scale_factor(build: Callable, value: object, error: type, got: str) -> None:
    assert_refuses(lambda: build(scale_factor=value), error, "scale_factor", got)


@pytest.mark.parametrize("build", [Conv2d, Upsampling, ConvTranspose2d])
@pytest.mark.parametrize("value, error", [(0, ValueError), (-2, ValueError), (1.5, TypeError)])
def test_channels(build: type, value: object, error: type) -> None:
    assert_refuses(lambda: build(value, 4, 2), error, "in_channels", "got", repr(value))
    assert_refuses(lambda: build(3, value, 2), error, "out_channels", "got", repr(value))


def test_a_refused_constructor_draws_no_random_numbers() -> None:
    source = generator(0)
    before = source.get_state()
    for build in (Conv2d, Upsampling, ConvTranspose2d):
        for wrong in ({"stride": 0}, {"padding": -1}, {"dilation": 0}):
            call = partial(build, 1, 1, 1, **wrong, generator=source)
            assert_refuses(call, ValueError, "got")
    assert torch.equal(source.get_state(), before)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_activation_constants_must_be_finite(value: float) -> None:
    assert_refuses(lambda: LeakyReLU(value), ValueError, "negative_slope", f"got {value}")
    assert_refuses(lambda: ELU(value), ValueError, "alpha", f"got {value}")


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_elu_alpha_must_be_positive(value: float) -> None:
    assert_refuses(lambda: ELU(value), ValueError, "alpha > 0", f"got {value}")


@pytest.mark.parametrize("bad", [None, 3, "ReLU", ReLU, torch.nn.ReLU(), lambda x: x])
def test_sequential_takes_modules_only(bad: object) -> None:
    got = f"got {type(bad).__name__}"
    assert_refuses(lambda: Sequential(ReLU(), bad), TypeError, "Module", "place 1", got)
    assert_refuses(lambda: Sequential([ReLU(), Sigmoid(), bad]), TypeError, "place 2", got)
    assert_refuses(lambda: Sequential(bad), TypeError, "place 0", got)


# ----------------------------------------------------------------------------------- forward

IMAGE_LAYERS: dict[str, Callable[[], Module]] = {
    "Conv2d": lambda: Conv2d(3, 4, 2, generator=generator(0)),
    "Upsampling": lambda: Upsampling(3, 4, 2, generator=generator(0)),
    "ConvTranspose2d": lambda: ConvTranspose2d(3, 4, 2, generator=generator(0)),
    "NNUpsampling": NNUpsampling,
    "Residual": lambda: Residual(Conv2d(3, 3, 1, generator=generator(0))),
    "Concat": lambda: Concat(Conv2d(3, 2, 1, generator=generator(0))),
}
ACTIVATIONS: dict[str, Callable[[], Module]] = {
    "ReLU": ReLU,
    "ReLU(inplace=True)": lambda: ReLU(inplace=True),
    "LeakyReLU": LeakyReLU,
    "ELU": ELU,
    "Sigmoid": Sigmoid,
}
LAYERS = IMAGE_LAYERS | ACTIVATIONS


def parametrise(layers: dict) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("build", layers.values(), ids=layers.keys())


def assert_forward_refuses(module: Module, x: object, error: type, *fragments: str) -> None:
    """Nor does the refusal touch the parameters, the input or what an earlier forward left."""
    good = random_values((2, 3, 4, 4), 1)
    v = random_values(tuple(module(good.clone()).shape), 2)
    expected = through_ours(module, good.clone(), v.clone())
    module.zero_grad()
    before, x_before = state(module), x.clone() if isinstance(x, Tensor) else x
    name = type(module).__name__
    assert_refuses(lambda: module(x), error, *fragments)
    with pytest.raises(error, match=f"^{name} expected|^expected"):
        module(x)
    assert_same(before, state(module))
    if isinstance(x, Tensor):
        assert torch.equal(x, x_before)
    grad_input = module.backward(v.clone())
    assert torch.equal(grad_input, expected.grad_input)
    assert_same(expected.grad_params, [grad for _, grad in module.param()])


@every_kernel_set
@pytest.mark.parametrize("shape", [(), (3,), (4, 4), (1, 1, 3, 4, 4)], ids=str)
@parametrise(IMAGE_LAYERS)
def test_wrong_number_of_dimensions(kernel_set: str, build: Callable, shape: tuple) -> None:
    with use_kernels(kernel_set):
        assert_forward_refuses(
            build(),
            torch.ones(shape),
            ValueError,
            "(N, C, H, W) or (C, H, W)",
            f"got shape {shape}",
        )


@every_kernel_set
@pytest.mark.parametrize("shape", [(2, 1, 4, 4), (4, 4, 4), (1, 6, 4, 4), (3, 4, 3, 3)], ids=str)
@pytest.mark.parametrize("name", ["Conv2d", "Upsampling", "ConvTranspose2d"])
def test_wrong_number_of_channels(kernel_set: str, name: str, shape: tuple) -> None:
    with use_kernels(kernel_set):
        got = f"got {shape[-3]} in {shape}"
        x = torch.ones(shape)
        assert_forward_refuses(IMAGE_LAYERS[name](), x, ValueError, "3 channels", got)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.bool, torch.complex64], ids=str)
@parametrise(LAYERS)
def test_tensors_that_are_not_floating_point(build: Callable, dtype: torch.dtype) -> None:
    x = torch.ones(1, 3, 4, 4, dtype=dtype)
    assert_forward_refuses(build(), x, TypeError, "floating-point tensor", f"got {dtype}")


@pytest.mark.parametrize("x", [None, 1.0, [[1.0]]], ids=repr)
@parametrise(LAYERS)
def test_things_that_are_not_tensors(build: Callable, x: object) -> None:
    assert_forward_refuses(build(), x, TypeError, "tensor", f"got {type(x).__name__}")


@pytest.mark.parametrize("shape", [(0, 3, 4, 4), (2, 3, 0, 4), (3, 4, 0)], ids=str)
@parametrise(LAYERS)
def test_empty_input(build: Callable, shape: tuple) -> None:
    assert_forward_refuses(
        build(), torch.ones(shape), ValueError, "non-empty input", f"got shape {shape}"
    )


@every_kernel_set
@pytest.mark.parametrize(
    "module, size, padded, window",
    [
        (Conv2d(3, 4, 5), (4, 4), (4, 4), (5, 5)),
        (Conv2d(3, 4, (1, 5)), (9, 4), (9, 4), (1, 5)),
        (Conv2d(3, 4, (5, 1)), (4, 9), (4, 9), (5, 1)),
        (Conv2d(3, 4, 3, dilation=2, padding=(1, 0)), (2, 5), (4, 5), (5, 5)),
        (Upsampling(3, 4, 5), (2, 4), (4, 8), (5, 5)),
        (Upsampling(3, 4, 3, dilation=2, scale_factor=(2, 1)), (4, 4), (8, 4), (5, 5)),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Module) else str(value),
)
def test_window_larger_than_the_padded_image(
    kernel_set: str, module: Module, size: tuple, padded: tuple, window: tuple
) -> None:
    before = state(module)
    with use_kernels(kernel_set):
        for shape in ((1, 3, *size), (3, *size)):
            got = f"got {window}"
            assert_refuses(
                lambda shape=shape: module(torch.ones(shape)), ValueError, str(padded), got
            )
    assert_same(before, state(module))
    with pytest.raises(RuntimeError, match="forward"):
        module.backward(torch.ones(1, 4, 1, 1))


@every_kernel_set
@pytest.mark.parametrize("name", ["Conv2d", "Upsampling", "ConvTranspose2d"])
def test_input_of_another_dtype_than_the_weights(kernel_set: str, name: str) -> None:
    """The usual slip of whoever comes from NumPy: float64 into a float32 network."""
    x = torch.ones(1, 3, 4, 4, dtype=torch.float64)
    with use_kernels(kernel_set):
        assert_forward_refuses(IMAGE_LAYERS[name](), x, TypeError, "float32", "got", "float64")


# ---------------------------------------------------------------------------------- backward


def assert_backward_refuses(module: Module, wrong: str) -> None:
    n, c, h, w = shape = tuple(module(random_values((2, 3, 4, 5), 1)).shape)
    other = {
        "turned": (n, c, w, h),
        "one image": (1, c, h, w),
        "no batch": (c, h, w),
        "larger": (n, c, h + 2, w + 2),
        "channels": (n, c + 1, h, w),
    }[wrong]
    before, v = state(module), random_values(other, 2)
    assert_refuses(lambda: module.backward(v), ValueError, str(shape), "got", str(other))
    assert_same(before, state(module))
    assert torch.equal(v, random_values(other, 2))
    module.backward(random_values(shape, 3))  # the right one is still welcome


# A gradient that broadcasts, or fits by its number of values, would train on nonsense.
wrong_shapes = pytest.mark.parametrize(
    "wrong", ["turned", "one image", "no batch", "larger", "channels"]
)


@every_kernel_set
@wrong_shapes
@parametrise(IMAGE_LAYERS)
def test_grad_output_of_another_shape(kernel_set: str, build: Callable, wrong: str) -> None:
    with use_kernels(kernel_set):
        assert_backward_refuses(build(), wrong)


@wrong_shapes
@parametrise(ACTIVATIONS)
def test_grad_output_of_another_shape_to_an_activation(build: Callable, wrong: str) -> None:
    assert_backward_refuses(build(), wrong)


@parametrise(IMAGE_LAYERS)
def test_grad_output_must_be_floating_point(build: Callable) -> None:
    module = build()
    output = module(random_values((2, 3, 4, 4), 1))
    before = state(module)
    v = torch.ones_like(output).long()
    assert_refuses(lambda: module.backward(v), TypeError, "floating-point", f"got {v.dtype}")
    assert_same(before, state(module))


@every_kernel_set
@pytest.mark.parametrize("layer", [Conv2d, Upsampling, ConvTranspose2d])
def test_autograd_that_watches_the_input_gets_no_hold_of_gradients(kernel_set: str, layer) -> None:
    """A module whose gradients it holds can be copied no more, and remembers every step."""
    x, v = random_values((2, 3, 5, 4), 1), None
    found = []
    for watched in (True, False):
        module = layer(3, 4, 2, generator=generator(0))
        with use_kernels(kernel_set), torch.set_grad_enabled(watched):
            output = module(x.clone().requires_grad_(watched))
            v = torch.ones_like(output) if v is None else v.detach()
            found.append([module.backward(v).detach(), *state(copy.deepcopy(module))])
    assert not any(tensor.requires_grad for tensor in found[0])
    assert_same(*found)


# -------------------------------------------------------------------------------------- loss


every_loss = pytest.mark.parametrize("loss", [MSELoss, L1Loss])


@every_loss
@pytest.mark.parametrize(
    "output, target, error, fragments",
    [
        *(
            (torch.ones(a), torch.ones(b), ValueError, ("one shape", f"got {a} and {b}"))
            for a, b in [
                ((2, 3, 4, 4), (2, 3, 4, 5)),
                ((2, 3, 4, 4), (1, 3, 4, 4)),  # would broadcast
                ((2, 3, 4, 4), (3, 4, 4)),
                ((4,), ()),
                ((0, 3), (0, 3)),
            ]
        ),
        (torch.ones(2), torch.ones(2).double(), TypeError, ("one dtype", "got", "float64")),
        *(
            row
            for bad, got in [(torch.ones(2).byte(), "uint8"), ([1.0, 2.0], "list"), (None, "None")]
            for row in [
                (bad, torch.ones(2), TypeError, ("floating-point output", "got", got)),
                (torch.ones(2), bad, TypeError, ("floating-point target", "got", got)),
            ]
        ),
    ],
    ids=str,
)
def test_refused_losses(loss: type, output, target, error: type, fragments: tuple) -> None:
    criterion = loss()
    assert_refuses(lambda: criterion(output, target), error, *fragments)
    with pytest.raises(RuntimeError, match=f"^{loss.__name__}.backward needs a forward before"):
        criterion.backward()


@every_loss
def test_a_refused_loss_keeps_the_one_before(loss: type) -> None:
    criterion, a, b = loss(), random_values((2, 3), 0), random_values((2, 3), 1)
    criterion(a, b)
    expected = criterion.backward()
    assert_refuses(lambda: criterion(a, b[:1]), ValueError, "got (2, 3) and (1, 3)")
    assert torch.equal(criterion.backward(), expected)


# -------------------------------------------------------------------------------- set_params


@every_trainable
def test_set_params_checks_everything_before_it_changes_anything(build: Callable) -> None:
    module = build(0)
    before, count = state(module), len(module.param())
    good = [torch.full_like(value, 7.0) for value, _ in module.param()]
    last = tuple(good[-1].shape)
    for wrong, got in ((good[:-1], count - 1), ([*good, good[0]], count + 1), ([], 0)):
        assert_refuses(
            lambda wrong=wrong: module.set_params(wrong), ValueError, f"{count} param", f"got {got}"
        )
    for bad, error, got in [
        (torch.ones(*last, 1), ValueError, f"got {(*last, 1)}"),
        (torch.ones(()), ValueError, "got ()"),
        (good[-1].tolist(), TypeError, "got list"),
        (None, TypeError, "got NoneType"),
    ]:
        values = [*good[:-1], bad]
        assert_refuses(
            lambda values=values: module.set_params(values), error, f"parameter {count - 1}", got
        )
    assert_same(before, state(module))


def test_set_params_refuses_the_pairs_of_param() -> None:
    module = small_chain()
    assert_refuses(lambda: module.set_params(module.param()), TypeError, "tensor", "got tuple")


def test_set_params_may_exchange_a_modules_own_values() -> None:
    layers = [Conv2d(2, 2, 1, bias=False, generator=generator(seed)) for seed in (0, 1)]
    first, second = (layer.weight.clone() for layer in layers)
    Sequential(layers).set_params([layers[1].weight, layers[0].weight])
    assert torch.equal(layers[0].weight, second)
    assert torch.equal(layers[1].weight, first)


@pytest.mark.parametrize("name", ["Conv2d", "Upsampling"])
def test_a_failed_forward_inside_a_network_changes_no_parameter(name: str) -> None:
    network = Sequential(TRAINABLE[name](0), Conv2d(9, 1, 1, generator=generator(1)))
    before = state(network)
    x = random_values((2, 3, 8, 8), 1)
    assert_refuses(lambda: network(x), ValueError, "9 channels", "got 4")
    assert_same(before, state(network))
