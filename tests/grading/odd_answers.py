"""Right and wrong answers that are written in unusual ways, with what a class sees of them.

Each is a list of code cells above the check of ``output_size``, in the place of the exercise's.
"""

from __future__ import annotations

RULE = "(size + 2 * padding - dilation * (kernel_size - 1) - 1) // stride + 1"
HEAD = "def output_size(size, kernel_size, stride, padding, dilation):\n"
RIGHT_FUNCTION = f"{HEAD}    return {RULE}"
TERMS = " + ".join(["1"] * 20_000)

RIGHT = {
    "a table filled in a loop": [
        f"t = []\nfor i in range(9):\n    t.append(i)\n{HEAD}    return {RULE} + t[0]"
    ],
    "a table filled in nested blocks": [
        "t = {}",
        "if True:\n    with open('/dev/null'):\n        try:\n            while not t:\n"
        "                t['one'] = 1\n        finally:\n            pass",
        f"{HEAD}    return {RULE[:-1]}t['one']",
    ],
    "a table filled in a comprehension": [
        f"t = []\n[t.append(i) for i in range(3)]\n{HEAD}    return {RULE} + t[0]"
    ],
    "a counter": [f"calls = 0\n{HEAD}    global calls; calls += 1\n    return {RULE} + 0 * calls"],
    "a closure": [
        "def make():\n    count = 0\n    def f(size, kernel_size, stride, padding, dilation):\n"
        f"        nonlocal count\n        count += 1\n        return {RULE}\n    return f",
        "output_size = make()",
    ],
    "questions and magics": [
        f"%precision 3\nprint?\n!ls\nfiles = !ls\n{HEAD}    %time\n    return {RULE}\n"
        "output_size??\n%timeit output_size(1, 1, 1, 1)"
    ],
    "a measured definition": [f"%time one = 1\n{HEAD}    return {RULE[:-1]}one"],
    "a measured cell": [f"%%time\n{RIGHT_FUNCTION}"],
    "a captured cell": [f"\n%%capture out\n{RIGHT_FUNCTION}"],
    "cells of other languages": ["%%bash\nls", "%%html\n<b>", RIGHT_FUNCTION, "%%timeit\nx ="],
    "IPython's functions": [
        f"{HEAD}    display(size)\n    get_ipython().run_line_magic('time', '')\n"
        f"    print(size)\n    return {RULE}",
        "get_ipython().system('ls')",
    ],
    "pictures": [
        "import matplotlib.pyplot as plt\nimport torch",
        f"{HEAD}    plt.imshow(torch.zeros(2, 2)); plt.show()\n    return {RULE}",
    ],
    "a progress bar": [
        f"from tqdm import tqdm\n{HEAD}    for _ in tqdm(range(2)): pass\n    return {RULE}"
    ],
    "a progress bar of notebooks": [
        f"from tqdm.notebook import tqdm\n{HEAD}    list(tqdm(range(2)))\n    return {RULE}"
    ],
    "the file of answers": [f"from mine import *\n{HEAD}    return {RULE}"],
    "a compiled function": [f"import torch\n@torch.compile\n{RIGHT_FUNCTION}"],
    "a function compiled with options": [
        f"import torch\n@torch.compile(mode='default')\n{RIGHT_FUNCTION}"
    ],
    "a sum of many terms in another cell": [f"many = {TERMS}", RIGHT_FUNCTION],
    "a sum of many terms in its own cell": [
        f"many = {' + '.join(['1'] * 700)}\n{HEAD}    return {RULE} + many - 700"
    ],
    "deep brackets in another cell": ["(" * 500 + ")" * 500, RIGHT_FUNCTION],
    "no Python in another cell": ["def f(x", RIGHT_FUNCTION],
    "a helper below": [f"{HEAD}    return rule(size, kernel_size, stride, padding, dilation)"]
    + [RIGHT_FUNCTION.replace("output_size", "rule")],
    "a helper below a lambda": [
        "output_size = lambda *a: rule(*a)",
        RIGHT_FUNCTION.replace("output_size", "rule"),
    ],
    "a helper that a function defines": [
        f"def define():\n    global one\n    one = 1\n{HEAD}    return {RULE[:-1]}one",
        "define()",
    ],
    "a condition": [f"if 1 > 0:\n    {RIGHT_FUNCTION.replace(chr(10), chr(10) + '    ')}"],
    "a decorator": [
        f"import functools\ndef kept(f): return functools.wraps(f)(lambda *a: f(*a))\n@kept\n"
        f"{RIGHT_FUNCTION}"
    ],
    "a decorator that registers": [
        "known = {}\ndef known_as(f):\n    known[f.__name__] = f\n    return f",
        f"@known_as\n{RIGHT_FUNCTION.replace('output_size', 'rule')}",
        "output_size = lambda *a: known['rule'](*a)",
    ],
    "a class body": [f"class Rule:\n    one = 1\n{HEAD}    return {RULE[:-1]}Rule.one"],
    "an attribute set from outside": [
        "class Rule: pass",
        "Rule.one = 1",
        "setattr(Rule, 'zero', 0)",
        f"{HEAD}    return {RULE[:-1]}Rule.one + Rule.zero",
    ],
    "globals()": [f"globals()['one'] = 1\n{HEAD}    return {RULE[:-1]}one"],
    "exec": [f"exec('one = 1')\n{HEAD}    return {RULE[:-1]}one"],
    "a walrus": [f"print(one := 1)\n{HEAD}    return {RULE[:-1]}one"],
    "a changed element": [f"t = [0]\nt[0] += 1\n{HEAD}    return {RULE[:-1]}t[0]"],
    "unpacking": [f"(a, *rest), one = (1, 2), 1\n{HEAD}    return {RULE[:-1]}one"],
    "a name deleted in between": [
        f"one = 2\ndel one\none = 1\n{HEAD}    return {RULE[:-1]}one",
    ],
    "several statements on a line": [f"one = 1; two = 2\n{HEAD}    return {RULE[:-1]}one"],
    "a star": [f"from math import *\n{HEAD}    return int(floor({RULE}))"],
    "a star that is not there": ["from nowhere_at_all import *", RIGHT_FUNCTION],
    "annotations of the future": [
        "from __future__ import annotations",
        RIGHT_FUNCTION.replace("size,", "size: Nothing,", 1),
    ],
    "an optional import": [
        "try:\n    import nowhere_at_all\nexcept ImportError:\n    nowhere_at_all = None",
        f"{HEAD}    return {RULE} if nowhere_at_all is None else 0",
    ],
    "an import that is not there and not needed": [
        f"import math\n{HEAD}    return int(math.floor({RULE}))",
        "import nowhere_at_all",
    ],
    "an error in a later line": [f"{RIGHT_FUNCTION}\noutput_size(1)"],
    "a semicolon": [f"{RIGHT_FUNCTION}\noutput_size(1, 1, 1, 1);"],
    "indented": [f"    {RIGHT_FUNCTION.replace(chr(10), chr(10) + '    ')}"],
    "an iterator": [
        f"ones = iter([1] * 99)\none = next(ones)\n{HEAD}    return {RULE[:-1]}one",
    ],
    "the source of itself": [
        f"import inspect\n{HEAD}    assert inspect.getsource(output_size)\n    return {RULE}"
    ],
    "defined twice": [f"{HEAD}    return 0", RIGHT_FUNCTION],
}
"""Answers that pass the check in class."""

WRONG = {
    "defined twice, the last one wrong": [RIGHT_FUNCTION, f"{HEAD}    return 0"],
    "no Python": ["def output_size(size"],
    "not a function": ["output_size = 3"],
    "not there": ["pass"],
    "the library's": [
        f"{HEAD}    raise NotImplementedError",
        "output_size = check.go_on_with(output_size)",
    ],
    "the library's, by another name": ["output_size = check.answers('output_size').output_size"],
    "a name that is not there": [f"{HEAD}    return {RULE} + nowhere"],
    "a name that is deleted": [f"one = 1\n{HEAD}    return {RULE[:-1]}one", "del one"],
    "a counter that does not begin": [f"{HEAD}    global n; n += 1\n    return {RULE}"],
    "a table changed too often": [
        f"t = [0]\nfor _ in range(2):\n    t[0] += 1\n{HEAD}    return {RULE[:-1]}t[0]"
    ],
    "a conversion too many": [f"{HEAD}    return float({RULE})"],
    "an error when it is called": [f"{HEAD}    return 1 / 0"],
    "a text": [f"{HEAD}    return 'a'"],
    "nothing": [f"{HEAD}    {RULE}"],
}
"""Answers that do not."""

BELOW = {
    "moved below its check": ([], (RIGHT_FUNCTION,)),
    "a helper below its check": (
        ["def output_size(*sizes):\n    return rule(*sizes)"],
        (RIGHT_FUNCTION.replace("output_size", "rule"),),
    ),
    "with the lesson's next cell": (
        [],
        (RIGHT_FUNCTION, "output_size = check.go_on_with(output_size)"),
    ),
}
"""Right answers with cells above and below the check, out of order; in class they were run so."""
