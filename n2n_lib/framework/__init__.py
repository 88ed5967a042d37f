"""The framework that the lessons derive: modules, their kernels, losses and optimisers."""
