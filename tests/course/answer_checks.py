"""What every answer check of a lesson has to do, as a class of tests to inherit from.

The class takes its cases from `wrong`: for every exercise of the lesson, what is wrong, the
student's text, and words that the message must contain.
"""

from __future__ import annotations

from typing import ClassVar

import pytest
import test_check

from n2n_lib.course import check
from n2n_lib.course.check import engine

Wrong = dict[str, list[tuple[str, str, tuple[str, ...]]]]


class AnswerChecks:
    """Tests of the checks of one lesson; see ``pytest_generate_tests`` in conftest.py."""

    lesson: ClassVar[int]
    wrong: ClassVar[Wrong]
    mistakes: ClassVar[int] = 12
    """So many wrong answers must be known, at least."""

    @pytest.fixture(autouse=True)
    def nothing_has_failed_yet(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(engine, "_failures", {})

    def test_all_exercises_of_the_lesson_are_here(self):
        numbers = {name: lesson for name, (lesson, *_) in check.EXERCISES.items()}
        assert set(self.wrong) == {name for name, n in numbers.items() if n == self.lesson}
        for answers in self.wrong.values():
            assert len({what for what, *_ in answers}) == len(answers) >= self.mistakes

    def test_wrong_answer_is_named(self, name: str, answer: str, words: tuple[str, ...], capsys):
        test_check.test_wrong_answer_is_named(name, answer, words, capsys)

    def test_no_known_mistake_hides_behind_another(self, name: str, monkeypatch, capsys):
        assert len(test_check.exercise_of(name).mistakes) >= self.mistakes
        test_check.test_no_known_mistake_hides_behind_another(name, monkeypatch, capsys)

    def test_the_solution_of_the_lesson_is_right(self, name: str, capsys):
        test_check.test_the_solution_of_the_lesson_is_right(name, capsys)
        test_check.test_what_is_not_written_yet_gets_the_hint(name, capsys)

    def test_the_hint_comes_with_the_second_failure(self, name: str, monkeypatch, capsys):
        monkeypatch.setitem(test_check.WRONG, name, self.wrong[name])
        test_check.test_the_hint_comes_with_the_second_failure_until_it_is_right(name, capsys)

    def test_exceptions_and_wide_tables(self, name: str, capsys):
        test_check.test_an_exception_is_reported_with_its_case_and_arguments(name, capsys)
        test_check.test_the_table_stays_narrow_whatever_is_in_it(name, capsys)


class AnswersThatReturn(AnswerChecks):
    """For exercises that return their results; lesson 10's change their arguments."""

    def test_right_answers_may_be_views_lists_and_other_numbers(self, name: str, capsys):
        test_check.test_right_answers_may_be_views_lists_and_other_numbers(name, capsys)

    @pytest.mark.parametrize("what", test_check.ODD)
    @pytest.mark.parametrize("only", ["always", "in the last case"])
    def test_odd_answers_are_explained_too(self, name: str, what: str, only: str, capsys):
        test_check.test_odd_answers_are_explained_too(name, what, only, capsys)
