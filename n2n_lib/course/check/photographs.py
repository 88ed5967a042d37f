"""Exercises on noise models, SSIM, and the linear filter."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad  # noqa: TID251 (a function, not a module)

from n2n_lib.course.check.exercise import Case, Mistake, but, values
from n2n_lib.course.check.registry import exercise


def _uniform(shape: tuple[int, ...], seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Random values between 0 and 1."""
    drawn = torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return drawn.to(dtype)


# ---------------------------------------------------------------------------------- pixel_sample


def _sample_case(
    name: str, shape: tuple[int, int, int], k: int, dtype: torch.dtype = torch.float64
) -> Case:
    rows, columns = shape[1] // k, shape[2] // k
    choice = torch.randint(k * k, (rows, columns), generator=torch.Generator().manual_seed(1))
    arguments = {"source": values(shape, 1, dtype), "k": k, "choice": choice}
    return Case(name, arguments, {"the pixels of a block": k * k, "the colours C": shape[0]})


@exercise(
    topic="photographs",
    title="A camera with one sample per pixel",
    hints=(
        "Think of one pixel of the small picture. Which part of the large one lies below it, "
        "and which two numbers does it give for each colour?",
        "Block (i, j) has the k rows from i * k on and the k columns from j * k on. clean is "
        "its mean, colour by colour; noisy is its pixel number choice[i, j], counted row by "
        "row.",
        "`block = source[:, i * k : (i + 1) * k, j * k : (j + 1) * k]`, then `block.mean((1, "
        "2))` and `block.flatten(1)[:, choice[i, j]]`.",
    ),
    returns=("clean", "noisy"),
    cases=(
        _sample_case("one block", (1, 2, 2), 2),
        _sample_case("two colours", (2, 4, 4), 2),
        _sample_case("not square", (3, 6, 9), 3),
        _sample_case("float32", (3, 4, 2), 2, torch.float32),
    ),
    errors=(
        (
            "IndexError",
            "source has C * H * W values, the thumbnail H // k rows and W // k columns, and choice "
            "is (rows, columns).",
        ),
        (
            "greater or equal to the number of dimensions",
            "One place of the thumbnail takes one number for each colour: `choice` has a number "
            "for each block, and that of block (i, j) is wanted here.",
        ),
    ),
    axes=("colour", "row", "column"),
)
def pixel_sample(source: Tensor, k: int, choice: Tensor) -> tuple[Tensor, Tensor]:
    """Check ``pixel_sample(source, k, choice) -> (clean, noisy)``.

    Parameters
    ----------
    function : callable
        The student's, which takes a ``source`` ``(C, h * k, w * k)``, the side ``k`` of a block,
        and which pixel is drawn from each block, ``choice`` ``(h, w)``, whole numbers below
        ``k * k`` that count the pixels of a block row by row. It returns the mean of each block and
        the pixel drawn from it, ``(C, h, w)`` each.
    """
    channels, height, width = source.shape
    clean = source.new_zeros(channels, height // k, width // k)
    noisy = torch.zeros_like(clean)
    for i in range(height // k):
        for j in range(width // k):
            block = source[:, i * k : (i + 1) * k, j * k : (j + 1) * k]
            clean[:, i, j] = block.mean((1, 2))
            noisy[:, i, j] = block.flatten(1)[:, choice[i, j]]
    return clean, noisy


pixel_sample.mistakes = (
    Mistake(
        "In the noisy picture the row and the column inside a block are swapped: `choice` counts "
        "the pixels row by row, so the row is choice // k and the column choice % k.",
        but(("block.flatten(1)", "block.transpose(1, 2).flatten(1)")),
        likely="row and column in the block swapped",
    ),
    Mistake(
        "The blocks begin at i and j and overlap. Block i begins at source row i * k.",
        but(("i * k : (i + 1) * k, j * k : (j + 1) * k", "i : i + k, j : j + k")),
        likely="blocks overlap",
    ),
    Mistake(
        "The clean pixel is a mean over the colours too: average over the rows and columns of the "
        "block, and keep the colours apart.",
        but(("mean((1, 2))", "mean()")),
        likely="mean over the colours",
    ),
    Mistake(
        "The two are swapped: the clean picture is returned first.",
        but(("return clean, noisy", "return noisy, clean")),
        likely="swapped",
    ),
    Mistake(
        "Every block uses the choice of the first one: each has a choice of its own.",
        but(("choice[i, j]", "choice[0, 0]")),
        likely="the first choice for all",
    ),
    Mistake(
        "The noisy pixel comes from the first row of its block only: `choice` counts all k * k "
        "pixels.",
        but(("block.flatten(1)[:, choice[i, j]]", "block[:, 0, choice[i, j] % k]")),
    ),
    Mistake(
        "The noisy pixel comes from the diagonal of its block: row and column differ, choice // k "
        "and choice % k.",
        but(
            ("block.flatten(1)[:, choice[i, j]]", "block[:, choice[i, j] // k, choice[i, j] // k]")
        ),
        but(("block.flatten(1)[:, choice[i, j]]", "block[:, choice[i, j] % k, choice[i, j] % k]")),
    ),
    Mistake(
        "The clean pixel is the first pixel of its block: it is the mean of all k * k.",
        but(("block.mean((1, 2))", "block[:, 0, 0]")),
    ),
    Mistake(
        "The noisy pixel is always the first of its block: take the one that `choice` names.",
        but(("[:, choice[i, j]]", "[:, 0]")),
    ),
    Mistake(
        "A reshape cuts each row into runs of k * k neighbours, which are no blocks: a block has k "
        "rows. Split rows and columns, each with `unflatten`, or cut the blocks out.",
        """
        C, H, W = source.shape
        runs = source.reshape(C, H // k, W // k, k * k)
        noisy = runs.gather(3, choice.expand(C, -1, -1)[..., None])[..., 0]
        return runs.mean(3), noisy
        """,
    ),
    Mistake(
        "The clean pixel is a sum over its block: divide by k * k.",
        but(("mean((1, 2))", "sum((1, 2))")),
    ),
    Mistake(
        "The clean pixel is the median of its block. The expectation of a pixel drawn at random is "
        "the mean.",
        but(("block.mean((1, 2))", "block.flatten(1).median(1).values")),
    ),
    Mistake(
        "The first colour is drawn for all: a sample is a whole pixel, so take every colour of it.",
        but(("[:, choice[i, j]]", "[0, choice[i, j]]")),
    ),
    Mistake(
        "Both pictures have wrong columns: both loops count rows. Columns run to W // k.",
        but(("for j in range(width // k)", "for j in range(min(height, width) // k)")),
    ),
    Mistake(
        "The blocks overwrite each other: write into [:, i, j], and not into the whole picture.",
        but(
            ("clean[:, i, j]", "clean[:]"),
            ("noisy[:, i, j]", "noisy[:]"),
            ("mean((1, 2))", "mean((1, 2), keepdim=True)"),
            ("choice[i, j]]", "choice[i, j], None, None]"),
        ),
    ),
)


# ------------------------------------------------------------------------------------ drop_pixels


def _drop_case(
    name: str, shape: tuple[int, int, int], keep: float, dtype: torch.dtype = torch.float64
) -> Case:
    arguments = {
        "clean": _uniform(shape, 2, dtype) + 0.1,
        "uniform": _uniform(shape[1:], 3, dtype),
        "keep": keep,
    }
    if keep == 0.5:  # which every dtype holds exactly
        arguments["uniform"][0, 0] = keep  # not below it
    return Case(name, arguments, {"the colours C": shape[0]})


@exercise(
    topic="photographs",
    title="Pixels that drop out, without a bias",
    hints=(
        "What would the mean of very many such pictures be, if the survivors kept their values?"
        " It is too dark: by which factor?",
        "A pixel survives with probability keep, and is 0 otherwise. Its expectation is keep "
        "times the value of a survivor, which has to be the clean one. All colours of a pixel "
        "survive together.",
        "`survives = uniform < keep` is (H, W), and `clean * survives` has it for every colour;"
        " what is left is one factor, made of `keep`.",
    ),
    returns=("noisy",),
    cases=(
        _drop_case("one colour", (1, 3, 4), 0.3),
        _drop_case("three colours", (3, 4, 2), 0.8),
        _drop_case("half of the pixels", (2, 3, 3), 0.5),
        _drop_case("float32", (3, 4, 5), 0.7, torch.float32),
    ),
    axes=("colour", "row", "column"),
)
def drop_pixels(clean: Tensor, uniform: Tensor, keep: float) -> Tensor:
    """Check ``drop_pixels(clean, uniform, keep) -> noisy``.

    Parameters
    ----------
    function : callable
        The student's, which takes a clean picture ``(C, H, W)``, random numbers ``uniform``
        ``(H, W)`` between 0 and 1, and the probability ``keep`` of a pixel to survive, which it
        does where its random number is below `keep`. It returns the picture with the other pixels
        black, and the survivors such that its expectation is the clean picture.
    """
    survives = uniform < keep
    return clean * survives / keep


drop_pixels.mistakes = (
    Mistake(
        "The survivors are as bright as before, so on average the picture is darker than the clean "
        "one. By what do you make up for the lost ones?",
        but((" / keep", "")),
        likely="survivors as they were",
    ),
    Mistake(
        "The survivors are multiplied by keep, which makes the mean smaller still: divide.",
        but((" / keep", " * keep")),
        likely="multiplied by keep",
    ),
    Mistake(
        "The wrong pixels survive: a pixel does where its random number is below keep.",
        but(("<", ">")),
        but(("<", ">="), (" / keep", " / (1 - keep)")),
        likely="the others survive",
    ),
    Mistake(
        "The survivors are divided by 1 - keep, the probability to be lost. Divide by that to "
        "survive.",
        but((" / keep", " / (1 - keep)")),
        likely="divided by 1 - keep",
    ),
    Mistake(
        "The random numbers themselves are multiplied in: compare them with keep first, so that "
        "each pixel is there or not.",
        but(("uniform < keep", "uniform")),
        likely="not compared with keep",
    ),
    Mistake(
        "The survivors have the right probability, but they are others: those whose random number "
        "is below keep are asked for.",
        but(("uniform < keep", "uniform > 1 - keep")),
    ),
    Mistake(
        "No pixel drops out: all are divided by keep. Multiply by the mask of the survivors, too.",
        but(("clean * survives", "clean")),
    ),
    Mistake(
        "The dropped pixels are white. A pixel that catches no light is black.",
        but(("clean * survives / keep", "torch.where(survives, clean / keep, 1.0)")),
    ),
    Mistake(
        "The dropped pixels keep their value: they should be 0.",
        but(("clean * survives / keep", "torch.where(survives, clean / keep, clean)")),
    ),
    Mistake(
        "The dropped pixels are divided by keep and the survivors are not: it is the other way "
        "round, and what is dropped is 0.",
        but(("clean * survives / keep", "torch.where(survives, clean, clean / keep)")),
    ),
    Mistake(
        "Half of the pixels survive, whatever keep says: compare with keep.",
        but(("uniform < keep", "uniform < 0.5")),
        but(("uniform < keep", "uniform.round() == 0")),
    ),
    Mistake(
        "The clean picture itself decides who survives: compare the random numbers with keep.",
        but(("uniform < keep", "clean < keep")),
    ),
    Mistake(
        "This is the mask of survivors alone: multiply it by the clean picture.",
        but(("clean * survives", "torch.ones_like(clean) * survives")),
    ),
    Mistake(
        "The mean is corrected for each picture by the share that happened to survive. It is keep, "
        "the probability, that makes the expectation right.",
        but(("/ keep", "/ survives.to(clean.dtype).mean()")),
    ),
)


# ------------------------------------------------------------------------------------ ssim_window


def _window_case(name: str, rows: int, columns: int, dtype: torch.dtype = torch.float64) -> Case:
    z = _uniform((rows, columns), 4)
    arguments = {"y": (0.7 * z + 0.4 * _uniform((rows, columns), 5)).to(dtype), "z": z.to(dtype)}
    return Case(name, arguments, {"the values of the window": rows * columns})


@exercise(
    topic="photographs",
    title="SSIM of one window",
    hints=(
        "Five numbers describe the two windows. Which ones, and by what are sums of squares "
        "divided if the mean itself comes from the same values?",
        "Two means; two variances and the covariance, sums of products of the differences from "
        "the means, divided by the number of values - 1. Then the formula, with c1 = 0.01 ** 2 "
        "and c2 = 0.03 ** 2.",
        "`covariance = ((y - mu_y) * (z - mu_z)).sum() / (y.numel() - 1)`; the first factor is "
        "`(2 * mu_y * mu_z + c1) / (mu_y**2 + mu_z**2 + c1)`.",
    ),
    returns=("ssim",),
    cases=(
        _window_case("3 by 3", 3, 3),
        _window_case("7 by 7", 7, 7),
        Case(
            "flat windows",
            {"y": torch.full((3, 3), 0.5).double(), "z": torch.zeros(3, 3).double()},
            {"the values of the window": 9},
        ),
        _window_case("a column, float32", 25, 1, torch.float32),
    ),
)
def ssim_window(y: Tensor, z: Tensor) -> Tensor:
    """Check ``ssim_window(y, z) -> ssim``.

    Parameters
    ----------
    function : callable
        The student's, which takes two windows of equal shape, values 0-1, and returns their
        structural similarity ``()``, with variances and covariance divided by the number of values
        minus one.
    """
    c1, c2, free = 0.01**2, 0.03**2, y.numel() - 1
    mu_y, mu_z = y.mean(), z.mean()
    var_y, var_z = (y - mu_y).square().sum() / free, (z - mu_z).square().sum() / free
    covariance = ((y - mu_y) * (z - mu_z)).sum() / free
    brightness = (2 * mu_y * mu_z + c1) / (mu_y**2 + mu_z**2 + c1)
    return brightness * (2 * covariance + c2) / (var_y + var_z + c2)


ssim_window.mistakes = (
    Mistake(
        "Variances and covariance are divided by the number of values. The formula here divides by "
        "one less.",
        but((" - 1\n", "\n")),
        likely="divided by the number of values",
    ),
    Mistake(
        "Standard deviations stand below where variances belong: square them.",
        but(("(var_y + var_z + c2)", "(var_y.sqrt() + var_z.sqrt() + c2)")),
        likely="standard deviations",
    ),
    Mistake(
        "The variances are squared once more: sigma squared in the formula is the variance itself.",
        but(("(var_y + var_z + c2)", "(var_y**2 + var_z**2 + c2)")),
    ),
    Mistake(
        "The covariance is divided by the number of values, and the variances by one less, as "
        "`var` does: divide all three by one less.",
        but(("(z - mu_z)).sum() / free", "(z - mu_z)).mean()")),
    ),
    Mistake(
        "It divides by 48, whatever the window: that is the number of values minus one for 7 × 7 "
        "alone.",
        but(("y.numel() - 1", "48")),
        but(("(z - mu_z)).sum() / free", "(z - mu_z)).sum() / 48")),
    ),
    Mistake(
        "It divides by the number of rows minus one, which is what len(y) counts: a window has "
        "y.numel() values.",
        but(("y.numel() - 1", "len(y) - 1")),
        but(("(z - mu_z)).sum() / free", "(z - mu_z)).sum() / (len(y) - 1)")),
    ),
    Mistake(
        "The constants are those for values up to 255: here values lie between 0 and 1.",
        but(("0.01**2, 0.03**2", "2.55**2, 7.65**2")),
    ),
    Mistake(
        "The constants are not squared: c1 is 0.01 squared, c2 is 0.03 squared.",
        but(("**2, 0.03**2", ", 0.03")),
        likely="constants not squared",
    ),
    Mistake(
        "The two constants are swapped: c1 goes with the means, c2 with the variances.",
        but(("c1, c2, free", "c2, c1, free")),
    ),
    Mistake(
        "The factor 2 is missing in front of the covariance.",
        but(("2 * covariance", "covariance")),
        likely="factor 2 forgotten",
    ),
    Mistake(
        "The factor 2 is missing in front of the product of the means.",
        but(("2 * mu_y * mu_z", "mu_y * mu_z")),
    ),
    Mistake(
        "The covariance is a plain mean product: subtract the two means before multiplying.",
        but(("((y - mu_y) * (z - mu_z)).sum()", "(y * z).sum()")),
    ),
    Mistake(
        "Only the part with the means is there: multiply it by the part with the covariance.",
        but(
            (
                "return brightness * (2 * covariance + c2) / (var_y + var_z + c2)",
                "return brightness",
            )
        ),
    ),
    Mistake(
        "Only the part with the covariance is there: multiply it by the part with the means.",
        but(("return brightness *", "return")),
        likely="means left out",
    ),
    Mistake(
        "Below stands a product of the variances: they are added.",
        but(("var_y + var_z", "var_y * var_z")),
    ),
    Mistake(
        "Below stand the means as they are: they are squared before they are added.",
        but(("mu_y**2 + mu_z**2", "mu_y + mu_z")),
    ),
    Mistake(
        "Below, the means are added first and squared then: square each.",
        but(("mu_y**2 + mu_z**2", "(mu_y + mu_z) ** 2")),
    ),
    Mistake(
        "The two small constants are left out, which divides by zero where both windows are flat.",
        but(("c1, c2, free = 0.01**2, 0.03**2,", "c1, c2, free = 0, 0,")),
    ),
    Mistake(
        "Variances and covariance are sums: divide by the number of values - 1.",
        but((" / free", "")),
    ),
    Mistake(
        "The fraction stands on its head: what compares the two is above, what belongs to each "
        "alone is below.",
        but(
            (
                "return brightness * (2 * covariance + c2) / (var_y + var_z + c2)",
                "return (var_y + var_z + c2) / (brightness * (2 * covariance + c2))",
            )
        ),
    ),
)


# ---------------------------------------------------------------------------------- design_matrix


def _matrix_case(
    name: str, shape: tuple[int, int, int, int], size: int, dtype: torch.dtype = torch.float64
) -> Case:
    sizes = {"the values N C H W": shape[0] * shape[1] * shape[2] * shape[3]}
    return Case(name, {"x": values(shape, 6, dtype), "size": size}, sizes)


@exercise(
    topic="photographs",
    title="The neighbours of every value as the rows of a matrix",
    hints=(
        "Fill the matrix by columns, not by rows: one column holds the same neighbour of every "
        "pixel. How does the whole batch look, seen from that neighbour?",
        "Pad x by r = size // 2 on each side, repeating the edge. Column u * size + v is the "
        "padded batch from row u and column v on, H x W of it, flattened. The last column is "
        "ones.",
        '`padded = pad(x, (r, r, r, r), mode="replicate")`, a column is `padded[..., u : u + H,'
        " v : v + W].flatten()`, and `torch.stack(columns, dim=1)` puts them together.",
    ),
    returns=("A",),
    cases=(
        _matrix_case("one value", (1, 1, 1, 1), 3),
        _matrix_case("not square", (1, 1, 2, 4), 3),
        _matrix_case("a batch in colour", (2, 3, 4, 3), 3),
        _matrix_case("size 5, float32", (1, 2, 5, 6), 5, torch.float32),
    ),
    errors=(
        (
            "stack expects each tensor to be equal size",
            "What is stacked differs in length. A column has a number for every value: `u : u + H` "
            "has H rows wherever u begins, if the frame is size // 2 wide on each side.",
        ),
        (
            "Padding size should be less",
            "Repeat the last pixel beyond the border, with mode='replicate'.",
        ),
    ),
    axes=("row", "column"),
)
def design_matrix(x: Tensor, size: int) -> Tensor:
    """Check ``design_matrix(x, size) -> A``.

    Parameters
    ----------
    function : callable
        The student's, which takes images ``(N, C, H, W)`` and the odd side ``size`` of a window. It
        returns a matrix ``(N * C * H * W, size * size + 1)`` with a row for every value, in the
        order of ``x.flatten()``: the values in the window around it, row by row, where the last
        pixel is repeated beyond the border, and a 1.
    """
    height, width = x.shape[-2:]
    padded = pad(x, (size // 2,) * 4, mode="replicate")
    columns = []
    for u in range(size):
        for v in range(size):
            columns.append(padded[..., u : u + height, v : v + width].flatten())
    columns.append(torch.ones_like(columns[0]))
    return torch.stack(columns, dim=1)


_APPEND = "columns.append(torch.ones_like(columns[0]))"

design_matrix.mistakes = (
    Mistake(
        "Beyond the border there are zeros: repeat the last pixel, with mode='replicate'.",
        but((', mode="replicate"', "")),
        likely="zeros beyond the border",
    ),
    Mistake(
        "Rows and columns of the window are swapped: it is read row by row, so v changes faster "
        "than u.",
        but(("u : u + height, v : v + width", "v : v + height, u : u + width")),
        likely="window read column by column",
    ),
    Mistake(
        "The column of ones is missing: the constant b is the weight of a 1.",
        but((_APPEND, "pass")),
        likely="no column of ones",
    ),
    Mistake(
        "The ones stand in the first column: they belong into the last.",
        but((_APPEND, "columns.insert(0, torch.ones_like(columns[0]))")),
        likely="ones first",
    ),
    Mistake(
        "The last column is zero: the constant b is the weight of a 1.",
        but(("ones_like", "zeros_like")),
    ),
    Mistake(
        "Rows and columns of the matrix are swapped: stack along dimension 1, so that each value "
        "has a row.",
        but(("dim=1", "dim=0")),
        likely="transposed",
    ),
    Mistake(
        "The window is turned by half a circle: it begins at the upper left of the value, so at "
        "u = v = 0 of the padded picture.",
        but(("range(size)", "range(size - 1, -1, -1)")),
    ),
    Mistake(
        "Beyond the border the picture comes in again from the other side: repeat the last pixel.",
        """
        reach, columns = size // 2, []
        for u in range(-reach, reach + 1):
            for v in range(-reach, reach + 1):
                columns.append(x.roll((-u, -v), (-2, -1)).flatten())
        columns.append(torch.ones_like(columns[0]))
        return torch.stack(columns, dim=1)
        """,
    ),
    Mistake(
        "The value stands at the upper left of its window, which reaches down and to the right "
        "alone: pad half of the size on every side.",
        but(("(size // 2,) * 4", "(0, size - 1, 0, size - 1)")),
    ),
    Mistake(
        "The value stands at the lower right of its window, which reaches up and to the left "
        "alone: pad half of the size on every side.",
        but(("(size // 2,) * 4", "(size - 1, 0, size - 1, 0)")),
    ),
    Mistake(
        "Every column holds the value itself: shift the padded picture by u and v.",
        but(("padded[..., u : u + height, v : v + width]", "x")),
    ),
    Mistake(
        "The window shifts along the rows only: u moves it down, v to the right.",
        but(("u : u + height, v", "size // 2 : size // 2 + height, v")),
    ),
    Mistake(
        "The colours are mixed up: a row is wanted for each value of each colour, in the order of "
        "x.flatten().",
        but(
            ("v : v + width].flatten()", "v : v + width].transpose(0, 1).flatten()"),
        ),
        but(
            ("v : v + width].flatten()", "v : v + width].permute(0, 2, 3, 1).flatten()"),
        ),
    ),
)


# ------------------------------------------------------------------------------------- fit_filter


def _fit_case(name: str, rows: int, size: int, dtype: torch.dtype = torch.float64) -> Case:
    A, t = values((rows, size), 7, dtype), values((rows,), 8, dtype)
    return Case(name, {"A": A, "t": t}, {"the rows R": rows, "the unknowns": size})


@exercise(
    topic="photographs",
    title="The filter with the smallest squared error",
    hints=(
        "It is the best constant of the lesson on two noisy copies again, with more than one "
        "number: where is the derivative of the squared error zero?",
        "The gradient 2 A^T (A theta - t) is zero where A^T A theta = A^T t: F linear equations"
        " with F unknowns.",
        "`torch.linalg.solve(matrix, right_side)` solves them; the matrix is `A.T @ A`, and the"
        " right side ...",
    ),
    returns=("theta",),
    cases=(
        Case(
            "a column of ones",
            {"A": torch.ones(5, 1).double(), "t": torch.tensor([1.0, 2, 2, 3, 12]).double()},
            {"the rows R": 5, "the unknowns": 1},
        ),
        _fit_case("two unknowns", 6, 2),
        _fit_case("as many rows as unknowns", 3, 3),
        _fit_case("float32", 40, 4, torch.float32),
    ),
    errors=(
        (
            "must be batches of square matrices",
            "A has more rows than columns, so A theta = t has no solution: multiply both sides by "
            "A.T from the left.",
        ),
        (
            "Incompatible shapes",
            "Write the shapes under the equations: the matrix is square with a row for each "
            "unknown, and the right side needs as many numbers.",
        ),
        (
            "at least 2 dimensions",
            "solve(matrix, right_side): the matrix comes first.",
        ),
        (
            "inconsistent tensor size",
            "Write the shapes under the product: A.T is (unknowns, R), t is (R,).",
        ),
        ("size mismatch", "Write the shapes under the product: the inner two must be equal."),
        ("mat1 and mat2", "Write the shapes under the product: the inner two must be equal."),
    ),
)
def fit_filter(A: Tensor, t: Tensor) -> Tensor:
    """Check ``fit_filter(A, t) -> theta``.

    Parameters
    ----------
    function : callable
        The student's, which takes a matrix ``A`` ``(R, F)`` with independent columns and targets
        ``t`` ``(R,)``, and returns the numbers ``theta`` ``(F,)`` for which the squared error of
        ``A @ theta`` against ``t`` is smallest.
    """
    return torch.linalg.solve(A.T @ A, A.T @ t)


fit_filter.mistakes = (
    Mistake(
        "This is the right side of the equations alone: solve the system with the square matrix of "
        "A on the left.",
        "return A.T @ t",
        "return 2 * A.T @ t",
        likely="only the right side",
    ),
    Mistake(
        "It is multiplied by the square matrix where the system should be solved.",
        "return (A.T @ A) @ (A.T @ t)",
        likely="multiplied instead of solved",
    ),
    Mistake(
        "Each unknown is fitted by itself, as if the columns had nothing in common. They share "
        "what they explain: solve all equations together.",
        "return A.T @ t / (A * A).sum(0)",
        "return A.T @ t / (A.T @ A).diag()",
        likely="each column by itself",
    ),
    Mistake(
        "This is the right side divided by the number of rows: solve the system with the square "
        "matrix of A on the left.",
        "return A.T @ t / len(A)",
    ),
    Mistake(
        "The sign is wrong: the derivative is zero where A.T A theta equals A.T t, with a plus.",
        "return -torch.linalg.solve(A.T @ A, A.T @ t)",
        likely="sign",
    ),
    Mistake(
        "This is the output A theta: return theta itself.",
        "return A @ torch.linalg.solve(A.T @ A, A.T @ t)",
        likely="returns the output",
    ),
    Mistake(
        "It divides entry by entry: a matrix goes to the other side of an equation by solving the "
        "system.",
        "return A.T @ t / (A.T @ A)",
    ),
    Mistake(
        "This is the squared error that theta leaves: return theta itself.",
        "return (A @ torch.linalg.solve(A.T @ A, A.T @ t) - t).square().sum()",
    ),
    Mistake(
        "This is what is left over, t - A theta: return theta itself.",
        "return t - A @ torch.linalg.solve(A.T @ A, A.T @ t)",
    ),
    Mistake(
        "The square matrix has something added to its diagonal, which makes theta smaller (ridge "
        "regression): here the plain squared error counts.",
        "return torch.linalg.solve(A.T @ A + torch.eye(A.shape[1], dtype=A.dtype), A.T @ t)",
    ),
    Mistake(
        "The result is twice too large: the factor 2 of the derivative stands on both sides, and "
        "cancels.",
        "return 2 * torch.linalg.solve(A.T @ A, A.T @ t)",
    ),
    Mistake(
        "The result is half of what it should be: the factor 2 of the derivative stands on both "
        "sides, and cancels.",
        "return torch.linalg.solve(2 * A.T @ A, A.T @ t)",
    ),
    Mistake(
        "theta is a matrix with one column: return a vector, (F,).",
        "return torch.linalg.solve(A.T @ A, A.T @ t[:, None])",
    ),
    Mistake(
        "Only the first rows are used, as many as there are unknowns: with more rows than unknowns "
        "no theta fits all, and every row has its say.",
        "n = A.shape[1]\nreturn torch.linalg.solve(A[:n], t[:n])",
    ),
    Mistake(
        "The squared error is taken on the targets minus their mean, so the constant is lost: fit "
        "the targets as they are.",
        "return torch.linalg.solve(A.T @ A, A.T @ (t - t.mean()))",
    ),
)
