"""A denoiser that can be written to a file and read from one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from n2n_lib.denoiser.checkpoint import SavedModel, read_model
from n2n_lib.denoiser.networks import CUSTOM
from n2n_lib.denoiser.prediction import Denoiser
from n2n_lib.denoiser.recipe import History
from n2n_lib.framework.module import Module

if TYPE_CHECKING:
    from typing import Self  # Python 3.11


class SavableDenoiser(Denoiser):
    """A denoiser, and its files; arguments and attributes are those of `n2n_lib.Model`."""

    def __init__(self, network: str | Module = "report", *, seed: int = 0, **arguments) -> None:
        super().__init__(network, seed=seed, **arguments)
        self.history = History()
        self.pretrained = False

    def save_model(self, path: str | os.PathLike) -> Path:
        """Write the weights and the name and arguments of the network, atomically.

        Parameters
        ----------
        path : path-like
            Any name; ``.pth`` is customary. The folder must exist.

        Returns
        -------
        Path
            `path`.

        Raises
        ------
        OSError
            If the file cannot be written. An older file stays as it was.
        """
        parameters = [parameter for parameter, _ in self.network.param()]
        return SavedModel(self.network_name, self.arguments, self.sigma, parameters).write(path)

    @classmethod
    def load(cls, path: str | os.PathLike | None = None) -> Self:
        """Return the model that a file holds.

        Parameters
        ----------
        path : path-like, optional
            A file of `save_model`, or a name out of `PRETRAINED` for a model that comes with the
            library; default is "bestmodel".

        Returns
        -------
        SavableDenoiser
            Of this class, on the CPU.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If the file is not ours, is damaged, names a network that is not known, or holds a
            network of your own: see `load_pretrained_model`.

        Examples
        --------
        >>> n2n_lib.Model.load("unet")
        Model('unet', 1732675 parameters)
        """
        saved, network = read_model(path)
        model = cls(network)
        model._hold(network, saved.network, saved.arguments)
        model.sigma, model.pretrained = saved.sigma, True
        return model

    def load_pretrained_model(self, path: str | os.PathLike | None = None) -> None:
        """Become the network that a file holds.

        Parameters
        ----------
        path : path-like, optional
            A file of `save_model`, or a name out of `PRETRAINED` for a model that comes with the
            library; default is "bestmodel". If the file holds a network of your own (not one of
            ``NETWORKS``), build the `Model` around that network first.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If the file is not ours, is damaged, or names a network that is not known. The model
            stays as it was.
        """
        own = self.network if self.network_name == CUSTOM else None
        saved, network = read_model(path, own)
        if saved.network != CUSTOM:
            network.to(self.example.device)
            self.history = History()
        self._hold(network, saved.network, saved.arguments)
        self.sigma, self.pretrained = saved.sigma, True
