"""Loss functions linked to a network (section 2.5 of the report)."""

from __future__ import annotations

from torch import Tensor

from n2n_lib.framework import kernels
from n2n_lib.framework.module import Module, check_network


class _Loss(Module):
    """What the losses share: the link to a network, and the checks of prediction and target."""

    def __init__(self, model: Module | None = None) -> None:
        if model is not None:
            check_network(model, type(self).__name__, "backward")
        self.model = model

    def _check(self, output: Tensor, target: Tensor) -> None:
        """Raise unless prediction and target are comparable."""
        who = type(self).__name__
        for name, value in (("output", output), ("target", target)):
            if not isinstance(value, Tensor) or not value.is_floating_point():
                got = value.dtype if isinstance(value, Tensor) else type(value).__name__
                raise TypeError(f"{who} expected a floating-point {name}, got {got}")
        if output.dtype != target.dtype:
            raise TypeError(
                f"{who} expected two tensors of one dtype, got {output.dtype} and {target.dtype}"
            )
        if output.shape != target.shape or output.numel() == 0:
            raise ValueError(
                f"{who} expected two non-empty tensors of one shape, "
                f"got {tuple(output.shape)} and {tuple(target.shape)}"
            )

    def _continue(self, grad_output: Tensor) -> Tensor | None:
        """Hand the gradient of the prediction to the network, if there is one."""
        return grad_output if self.model is None else self.model.backward(grad_output)

    def param(self) -> list[tuple[Tensor, Tensor]]:
        """Return an empty list: the parameters belong to the network, not to the loss."""
        return []

    def __repr__(self) -> str:
        name = type(self).__name__
        return f"{name}()" if self.model is None else f"{name}({type(self.model).__name__})"


class MSELoss(_Loss):
    r"""Mean squared error over every value of the batch.

    .. math::

        L = \frac{1}{M} \sum_{m=1}^{M} (y_m - t_m)^2, \qquad
        \frac{\partial L}{\partial y_m} = \frac{2}{M} (y_m - t_m), \qquad M = N C H W

    Parameters
    ----------
    model : Module, optional
        The network that made the prediction. `backward` continues into it, so that
        ``criterion(model(x), y)`` followed by ``criterion.backward()`` fills all its gradients.

    Notes
    -----
    Section 2.5 of the report. With weights :math:`w_m` each squared error and its gradient is
    multiplied by its own; M stays the number of values.

    Examples
    --------
    One step of training:

    >>> criterion, optimiser = MSELoss(network), SGD(network, lr=0.1)
    >>> loss = criterion(network(noisy), other_noisy)
    >>> optimiser.zero_grad()
    >>> criterion.backward()
    >>> optimiser.step()
    """

    def forward(self, output: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        """Return the loss, a tensor with one value.

        Parameters
        ----------
        output, target : Tensor
            Prediction and target, of the same shape and dtype.
        weight : Tensor, optional
            How much each squared error counts, 0 or more, of a shape that fits to that of
            `output`: ``(N, 1, 1, 1)`` for one weight an image.

        Raises
        ------
        TypeError
            If one of them is not a floating-point tensor or the dtypes differ.
        ValueError
            If the shapes differ or are empty. (Broadcasting would average over the wrong pairs.)
        """
        self._check(output, target)
        kernel_set, root = kernels.active(), None
        if weight is not None:
            root = self._root(weight, output)
            output, target = root * output, root * target
        loss, saved = kernel_set.mse_forward(output, target)
        self._saved = kernel_set, saved, root
        return loss

    def _root(self, weight: Tensor, output: Tensor) -> Tensor:
        """Return the square roots of weights; raise unless they fit to a prediction."""
        if not isinstance(weight, Tensor) or weight.dtype != output.dtype:
            got = weight.dtype if isinstance(weight, Tensor) else type(weight).__name__
            raise TypeError(f"MSELoss expected a weight of {output.dtype}, got {got}")
        ones = (1,) * (output.ndim - weight.ndim) + tuple(weight.shape)
        if len(ones) != output.ndim or any(
            side not in (1, whole) for side, whole in zip(ones, output.shape, strict=True)
        ):
            raise ValueError(
                f"MSELoss expected a weight that fits to {tuple(output.shape)}, "
                f"got {tuple(weight.shape)}"
            )
        if not (weight >= 0).all():
            raise ValueError("MSELoss expected weights of 0 or more, got others or NaN")
        return weight.sqrt()

    def backward(self) -> Tensor | None:
        """Differentiate the loss and, if there is one, the network behind it.

        Returns
        -------
        Tensor or None
            Gradient of the loss with respect to the network's input, or to `output` without one.
        """
        kernel_set, saved, root = self._take_saved()
        grad_output = kernel_set.mse_backward(saved)
        return self._continue(grad_output if root is None else root * grad_output)


class L1Loss(_Loss):
    r"""Mean absolute error over every value of the batch.

    .. math::

        L = \frac{1}{M} \sum_{m=1}^{M} |y_m - t_m|, \qquad
        \frac{\partial L}{\partial y_m} = \frac{1}{M} \operatorname{sign}(y_m - t_m)

    At :math:`y_m = t_m`, where the slope jumps, the gradient is 0, as in PyTorch. What minimises it
    is the median of the targets, where the squared error has their mean.

    Parameters
    ----------
    model : Module, optional
        The network that made the prediction, as in `MSELoss`.

    Notes
    -----
    Lehtinen et al. (2018), Noise2Noise, section 2.
    """

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        """Return the loss, a tensor with one value.

        Parameters
        ----------
        output, target : Tensor
            Prediction and target, of the same shape and dtype.

        Raises
        ------
        TypeError, ValueError
            If they are not floating-point tensors of one dtype and one shape that is not empty.
        """
        self._check(output, target)
        self._saved = output - target
        return self._saved.abs().mean()

    def backward(self) -> Tensor | None:
        """Differentiate the loss and, if there is one, the network behind it.

        Returns
        -------
        Tensor or None
            Gradient of the loss with respect to the network's input, or to `output` without one.
        """
        difference = self._take_saved()
        return self._continue(difference.sign() / difference.numel())


MSE = MSELoss
