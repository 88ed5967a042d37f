"""A prediction beside the result."""

from __future__ import annotations

import pytest
import torch

from n2n_lib import check


@pytest.mark.parametrize(
    "guess, truth, unit, told",
    [
        (22, 24.98, "dB", "You predicted 22 dB, and it is 24.98 dB: 2.98 dB too low."),
        (0.3, 0.1, "", "You predicted 0.3, and it is 0.1: 0.2 too high."),
        (9, 7, "times", "You predicted 9 times, and it is 7 times: 2 too high."),
        (3000, 1755, "", "You predicted 3000, and it is 1755: 1245 too high."),
        (3, 3.0, "", "You predicted 3, and it is 3, exactly."),
        (torch.tensor(2.5), 2.0, "", "You predicted 2.5, and it is 2: 0.5 too high."),
        ("b", "a", "", "You predicted b, and it is a."),
        (" (A)".strip(), "a", "", "You predicted (A), and so it is."),
        (["x", "y"], ["y", "x"], "", "You predicted x, y, and it is y, x."),
        (None, 24.98, "dB", "It is 24.98 dB. (No prediction was written down.)"),
        (..., "a", "", "It is a. (No prediction was written down.)"),
    ],
)
def test_what_is_told(guess, truth, unit, told, capsys):
    check.predicted(guess, truth, unit)
    assert capsys.readouterr().out == told + "\n"


def test_a_prediction_of_another_kind():
    with pytest.raises(TypeError, match="a prediction that is a number, got 'much'"):
        check.predicted("much", 2.0)
    with pytest.raises(TypeError, match="such as a, got 2"):
        check.predicted(2, "a")
