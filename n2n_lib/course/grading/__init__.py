"""Grading: ``n2n grade`` runs the checks of the lessons on what a class handed in.

In the order of the work: `tasks` reads what the instructor's lessons ask. `handed_in` finds who
handed in what, however it was collected, and reads it. `judging` selects what an answer needs, runs
it behind a fence, and judges what comes back; all that touches a submission happens there, in
processes that can be stopped. `written` joins the grades with the roster and the instructor's
corrections, and writes tables, pages and files for gradebooks. `run.grade` does it all, and
`grades` holds what is found.

What a student's code can and cannot do
---------------------------------------
Of a submission only its code cells count, and of these only the statements that a graded function
needs; before an answer gets no points, all cells above its check are run. Checks and points are the
instructor's. A check runs in another process than the student's function, which gets arguments and
sends back numbers; no exit, no print, no redefined ``check`` and no change of PyTorch can turn a
wrong number into a right one.

A student's code runs in a process of its own, with limits of time and memory, a bare environment
and no further processes. Bubblewrap (Linux) shows it nothing of the host but programs and this
library; filters of the kernel (Linux) let it connect, signal and write to nothing, with bubblewrap
or without. Elsewhere Python refuses these things, which stops an accident but not somebody who
knows Python well. The first line of the output says what holds, after it was tried: see
`judging.fence`.

What remains possible: to call the library, or PyTorch's own function, in place of deriving an
answer. That is remarked where it is written openly, and the page of feedback shows the code.
"""
