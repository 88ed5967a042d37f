"""Loss functions linked to a network (lesson 06; section 2.5 of the report)."""

from __future__ import annotations

from torch import Tensor

from n2n_lib.module import Module


class MSELoss(Module):
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
    Section 2.5 of the report.
    """

    def __init__(self, model: Module | None = None) -> None:
        self.model = model

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        """Return the loss, a tensor with one value.

        Parameters
        ----------
        output, target : Tensor
            Prediction and target, of the same shape and dtype.

        Raises
        ------
        TypeError
            If one of them is not a floating-point tensor or the dtypes differ.
        ValueError
            If the shapes differ or are empty. (Broadcasting would average over the wrong pairs.)
        """
        for name, value in (("output", output), ("target", target)):
            if not isinstance(value, Tensor) or not value.is_floating_point():
                got = value.dtype if isinstance(value, Tensor) else type(value).__name__
                raise TypeError(f"MSELoss expected a floating-point {name}, got {got}")
        if output.dtype != target.dtype:
            raise TypeError(
                f"MSELoss expected two tensors of one dtype, got {output.dtype} and {target.dtype}"
            )
        if output.shape != target.shape or output.numel() == 0:
            raise ValueError(
                "MSELoss expected two non-empty tensors of one shape, "
                f"got {tuple(output.shape)} and {tuple(target.shape)}"
            )
        self._saved = output - target
        return self._saved.square().mean()

    def backward(self) -> Tensor | None:
        """Differentiate the loss and, if there is one, the network behind it.

        Returns
        -------
        Tensor or None
            Gradient of the loss with respect to the network's input, or to `output` without one.
        """
        difference = self._take_saved()
        grad_output = difference * (2 / difference.numel())
        return grad_output if self.model is None else self.model.backward(grad_output)

    def param(self) -> list[tuple[Tensor, Tensor]]:
        """Return an empty list: the parameters belong to the network, not to the loss."""
        return []

    def __repr__(self) -> str:
        return "MSELoss()" if self.model is None else f"MSELoss({type(self.model).__name__})"


MSE = MSELoss
