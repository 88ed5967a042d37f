"""Grading: ``n2n grade`` runs the checks of the lessons on what students handed in.

The parts, in the order of the work: `tasks` reads the instructor's edition, `submissions` what
was handed in, `judge` checks one answer, whose code runs in a `worker`, `marking` marks all answers
of a student, `judges` does so in processes that can be stopped, `journal` keeps the grades of a
run, and `outputs` writes the table and the pages of feedback. `run.grade` does it all.

What a student's code can and cannot do
---------------------------------------
Only two things of a submission count: its code cells, and of these only the statements that a
graded function needs (see `needed`). Checks and points are the instructor's. A check runs in
another process than the student's function, which gets arguments and sends back numbers; no
exit, no print, no redefined ``check`` and no change of PyTorch can turn a wrong number into a
right one.

A student's code runs as a process of its own, with limits of time and memory, a bare environment,
no further processes (unless root grades), and no byte to write to any file. With bubblewrap
(``bwrap``, Linux) the kernel also takes the network away and makes all files read-only. Without
it, Python refuses these things, which stops an accident but not somebody who knows Python well.

What remains possible: to call the library in place of deriving an answer, since it is
installed; to read files that the grading account may read, and show them in the student's own page
of feedback; without bubblewrap, more. Somebody has to look at the code, which the feedback shows.
"""
