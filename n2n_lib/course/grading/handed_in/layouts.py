"""Find who of a class has handed in what, however it was collected."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from n2n_lib.course.grading.handed_in.archives import (
    ARCHIVE,
    LITTER,
    OTHER_ARCHIVE,
    Node,
    Part,
    Tree,
    names_in,
)
from n2n_lib.course.grading.handed_in.downloads import NUMBERS, Owner, owner_of
from n2n_lib.course.grading.handed_in.matching import NOTEBOOK, lesson_in

MOST_UNKNOWN = 50
"""Lines about what belongs to no student, at most."""

LONGEST = 100
"""Characters of a name that is shown, at most."""

NOBODY = re.compile(
    r"(lessons?|notebooks?|submissions?|submitted( files)?|working files|old|new|backups?|final"
    r"|drafts?|cop(y|ies)|archived?|data|images?|figures?|pictures|photos?|results?|outputs?|code"
    r"|src|lib|n2n(_lib)?|docs?|tests?|tools|course|(week|version|attempt|part|day|v)[ _-]*\d+"
    r"|(home)?work|assignments?|downloads?|solutions?|desktop|documents|handed[ _-]?in|abgaben?"
    r"|class|student work|submission attachment\(s\)|feedback attachment\(s\)|untitled folder)"
    r"([ _-]*\(?\d+\)?)?",
    re.IGNORECASE,
)
"""Names of folders that are no names of people."""

OURS = re.compile(r"(feedback|grades?|gradebook|solutions?|release|source|autograded)\d*", re.I)
"""Names of folders that instructors keep beside the submissions."""

TEXT_ONLINE = re.compile(r"text\.html|onlinetext .*", re.IGNORECASE)
"""Names of what platforms write beside the files of a student."""


@dataclass(frozen=True)
class HandedIn:
    """What one student has handed in.

    Attributes
    ----------
    name : str
        Of the student; no two of a class have the same.
    paths : tuple of Path or Part
        Folders, archives and files, or what is in them.
    ids : dict of str to str
        What the names of the files say of the student, see `Grade`.
    remarks : tuple of str
        What was odd about the way it was handed in.
    """

    name: str
    paths: tuple[Path | Part, ...]
    ids: dict[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Found:
    """A class.

    Attributes
    ----------
    students : list of HandedIn
        By their names.
    layout : str
        How it was collected, for people: ``a folder for each student``.
    unknown : list of str
        What belongs to no student, a line each.
    """

    students: list[HandedIn]
    layout: str = ""
    unknown: list[str] = field(default_factory=list)


def find_class(path: str | os.PathLike, lessons: Sequence[str] = ()) -> Found:
    """Say who has handed in what. Only names are read, no notebooks.

    Parameters
    ----------
    path : path-like
        A folder or zip file, in which each student has a folder, an archive, or files with names
        that one of the platforms in `downloads` makes; or the work of one student.
    lessons : sequence of str
        Names ``NN_name`` of the lessons, beside those of the course.

    Raises
    ------
    ValueError
        If there is nobody.
    """
    path = Path(path)
    if path.is_file() and ARCHIVE.search(path.name) and path.suffix.lower() != ".zip":
        return Found([HandedIn(_shown(_stem(path.name)), (path,))], "one student's archive")
    look = _Look(lessons)
    claims = look.at(Tree(path), "")
    if claims is None:
        name = _stem(path.resolve().name) if path.is_file() else path.resolve().name
        kind = "archive" if path.is_file() else "folder"
        owner = Owner(f"one student's {kind}", name)
        claims, look.unknown = [_Claim(owner, Part(path), look.odd)], []
    students = _students(claims)
    if not students:
        raise ValueError(f"expected a folder or zip file for each student in {path}, got none")
    kinds = Counter(claim.owner.platform for claim in claims)
    layout = " and ".join(kind for kind, _ in kinds.most_common(3))
    return Found(students, layout, _bounded(look.unknown))


@dataclass(frozen=True)
class _Claim:
    """Something that belongs to somebody."""

    owner: Owner
    part: Part
    remarks: tuple[str, ...] = ()


class _Look:
    """One look at a class.

    Attributes
    ----------
    unknown : list of str
        What belongs to nobody.
    odd : tuple of str
        What is odd, should it be the work of one student.
    """

    def __init__(self, lessons: Sequence[str]) -> None:
        self.lessons = tuple(lessons)
        self.unknown: list[str] = []
        self.odd: tuple[str, ...] = ()

    def at(self, tree: Tree, folder: str, depth: int = 0) -> list[_Claim] | None:
        """Return what belongs to whom; None if all is one student's."""
        nodes = self._visible(tree, folder)
        by_platform = list(self._by_platform(nodes))
        if by_platform:
            named = {node.name for node, _ in by_platform}
            rest = [node for node in nodes if node.name not in named]
            claims = [_Claim(own, replace(n.part, name=own.file, order=own.order))
                      for n, own in by_platform]  # fmt: skip
            return claims + self._beside(tree, folder, rest)
        holders = [node for node in nodes if self._holds(tree, folder, node)]
        notebooks = [n for n in nodes if n.kind == "file" and NOTEBOOK.search(n.name)]
        if depth < 4 and (inner := self._further(tree, folder, nodes, holders, notebooks, depth)):
            return inner
        if notebooks and not self._is_beside(notebooks, holders, tree, folder):
            return self._flat(nodes, notebooks, depth)
        if not holders and not notebooks and not depth:
            folders = [node for node in nodes if node.kind == "folder"]
            return self._each(tree, folder, nodes) if self._people(folders) else []
        lone_in_zip = tree.is_archive and len(holders) == 1 and not depth
        if not self._people(holders) or (
            lone_in_zip and not NOBODY.fullmatch(_stem(tree.path.name))
        ):
            if sum(node.kind == "file" for node in holders) > 1:
                self.odd = ("several archives, and no names: taken for one student's",)
            return None
        return self._each(tree, folder, nodes)

    def _visible(self, tree: Tree, folder: str) -> list[Node]:
        """Return what lies in a folder, without litter; what is hidden is listed as unknown."""
        visible = []
        for node in tree.list(folder):
            if LITTER.search(node.name):
                continue
            if node.name.startswith((".", "__")):
                self._list(folder, node, "its name hides it")
            elif node.kind == "other":
                self._list(folder, node, "a link, not followed" if _is_link(node) else "no file")
            else:
                visible.append(node)
        return visible

    def _by_platform(self, nodes: Iterable[Node]) -> Iterator[tuple[Node, Owner]]:
        for node in nodes:
            owner = owner_of(_normal(node.name), folder=node.kind == "folder")
            if owner is None:
                continue
            if owner.platform == "GitHub Classroom" and not self._is_name(owner.name):
                continue  # lesson-04-convolution is nobody's
            if owner.platform in ("Canvas", "Blackboard") and not re.search(r"\.\w", owner.file):
                continue
            yield node, owner

    def _holds(self, tree: Tree, folder: str, node: Node, deepest: int = 4) -> bool:
        """Whether there are notebooks in a folder, or archives, or something else is one."""
        if node.kind != "folder":
            return bool(ARCHIVE.search(node.name) or OTHER_ARCHIVE.search(node.name))
        inside = f"{folder}{node.name}/"
        return any(
            (n.kind == "file" and NOTEBOOK.search(n.name))
            or (deepest and n.kind != "other" and self._holds(tree, inside, n, deepest - 1))
            for n in tree.list(inside)
            if not LITTER.search(n.name)
        )

    def _people(self, nodes: Iterable[Node]) -> list[Node]:
        """Return those whose names may be names of people."""
        return [node for node in nodes if self._is_person(node)]

    def _is_person(self, node: Node) -> bool:
        name = _stem(node.name)
        if name.isdigit() and node.kind == "folder":  # a lesson's number, or a student's
            direct = [each for each in names_in(node.part) if "/" not in each]
            told = {lesson_in(each, self.lessons)[0] for each in direct if NOTEBOOK.search(each)}
            if any(owner_of(each, folder=False) for each in direct):
                return False
            return bool(told) and lesson_in(name, self.lessons)[0] not in told
        return self._is_name(name)

    def _is_name(self, name: str) -> bool:
        lesson, rest = lesson_in(name, self.lessons)
        return not NOBODY.fullmatch(name) and not (lesson and not rest)

    def _is_beside(
        self, notebooks: Sequence[Node], holders: Sequence[Node], tree: Tree, folder: str
    ) -> bool:
        """Whether some notebooks are strays beside students, or rather the work itself."""
        people = self._people(holders)
        if len(people) != 1:
            return len(people) > 1
        names = [node.name for node in self._inside(tree, folder, people[0])]
        return any(lesson_in(n, self.lessons)[0] for n in names if NOTEBOOK.search(n))

    @staticmethod
    def _inside(tree: Tree, folder: str, node: Node) -> list[Node]:
        return tree.list(f"{folder}{node.name}/") if node.kind == "folder" else []

    def _further(
        self,
        tree: Tree,
        folder: str,
        nodes: Sequence[Node],
        holders: Sequence[Node],
        notebooks: Sequence[Node],
        depth: int,
    ) -> list[_Claim] | None:
        """Look for the class in a folder within: nbgrader's, an assignment's, a download's."""
        collected = [
            n for n in holders if re.fullmatch(r"(submitted|inbound)( files)?", n.name, re.I)
        ]
        if collected and (depth == 0 or len(holders) > 1):
            holders, notebooks = collected[:1], []
        if notebooks or (len(holders) > 1 and self._people(holders)):
            return None
        kept, found = list(self.unknown), {}
        for node in holders:
            inside, below = self._enter(tree, folder, node)
            found[node.name] = inside and self.at(inside, below, depth + 1)
        classes = [got for node in holders if self._is_class(got := found[node.name], node)]
        if not classes:
            self.unknown = kept
            return None
        for node in nodes:
            if not found.get(node.name):
                self._list(folder, node, "beside the class")
        claims = [claim for got in found.values() for claim in got or ()]
        if "submitted" in found:
            return [
                replace(claim, owner=replace(claim.owner, platform="nbgrader's tree"))
                for claim in claims
            ]
        return claims

    def _is_class(self, claims: list[_Claim] | None, node: Node) -> bool:
        """Whether what was found in a folder is a class, and not the folders of one student."""
        if not claims or _told(claims):
            return bool(claims)
        lessons: Counter = Counter()
        for part in {claim.owner.key: claim.part for claim in claims}.values():
            lessons.update(self._lessons(part))
        same = bool(lessons) and max(lessons.values()) > 1
        several = len({claim.owner.key for claim in claims}) > 1
        people = all(
            "each student" in claim.owner.platform and self._is_name(claim.owner.name)
            for claim in claims
        )
        return several and (same or people or not self._is_person(node))

    def _lessons(self, part: Part) -> set[str]:
        """Return the lessons that names in a folder, or of a notebook, speak of."""
        stems = (lesson_in(name.rpartition("/")[2], self.lessons)[0] for name in names_in(part)
                 if NOTEBOOK.search(name))  # fmt: skip
        return set(filter(None, stems))

    @staticmethod
    def _enter(tree: Tree, folder: str, node: Node) -> tuple[Tree | None, str]:
        if node.kind == "folder":
            return tree, f"{folder}{node.name}/"
        if not node.name.lower().endswith(".zip"):
            return None, ""
        inner = f"{node.part.member}/" if tree.is_archive else ""
        try:
            return Tree(node.part.path, inner), ""
        except ValueError:
            return None, ""

    def _each(self, tree: Tree, folder: str, nodes: Sequence[Node]) -> list[_Claim]:
        """Return a claim for each folder and archive that may be a student's."""
        claims = []
        prefix = self._assignment(tree, folder, nodes)
        told = [
            lesson_in(_stem(n.name), self.lessons) for n in nodes if self._holds(tree, folder, n)
        ]
        with_lessons = len(told) > 1 and all(lesson and rest for lesson, rest in told)
        for node in nodes:
            name, kind = _normal(_stem(node.name)), node.kind
            archive = ARCHIVE.search(node.name) or OTHER_ARCHIVE.search(node.name)
            if kind == "file" and not archive:
                self._list(folder, node, "beside the students' folders")
            elif OURS.fullmatch(name) or self._is_feedback(tree, folder, node):
                self._list(folder, node, "no student's")
            elif kind == "file" and self._is_download(tree, folder, node, nodes):
                self._list(folder, node, "the class once more")
            elif not self._is_person(node) and not self._holds(tree, folder, node):
                self._list(folder, node, "no student's")
            else:
                if with_lessons:  # 03_adams, 04_adams
                    name = lesson_in(name, self.lessons)[1] or name
                platform = f"{'a folder' if kind == 'folder' else 'an archive'} for each student"
                ids = {"name": name}
                if prefix:
                    platform, name = "GitHub Classroom", name.removeprefix(prefix)
                    ids = {"github": name}
                claims.append(_Claim(Owner(platform, name, ids), node.part))
        return claims

    def _assignment(self, tree: Tree, folder: str, nodes: Sequence[Node]) -> str:
        """Return what the names of repositories have in common: ``denoiser-``."""
        folders = [node for node in nodes if node.kind == "folder"]
        common = os.path.commonprefix([node.name for node in folders])
        prefix = common[: common.rfind("-") + 1]
        repositories = all(
            any(n.name == ".git" for n in self._inside(tree, folder, node)) for node in folders
        )
        return prefix if len(folders) > 1 and repositories else ""

    def _is_feedback(self, tree: Tree, folder: str, node: Node) -> bool:
        """Whether a folder holds the pages of an earlier run."""
        names = [n.name for n in self._inside(tree, folder, node)]
        return len(names) > 1 and all(name.endswith((".html", ".css")) for name in names)

    def _is_download(self, tree: Tree, folder: str, node: Node, nodes: Sequence[Node]) -> bool:
        """Whether an archive beside the students holds the class itself."""
        if self._is_person(node):
            return False
        inside, below = self._enter(tree, folder, node)
        names = {n.name for n in inside.list(below)} if inside else set()
        return len(names & {n.name for n in nodes}) > 1 or bool(
            inside and _Look(self.lessons).at(inside, below, 1)
        )

    def _beside(self, tree: Tree, folder: str, nodes: Sequence[Node]) -> list[_Claim]:
        """Look at what lies beside the files of a platform: somebody's who came by another way."""
        others = [n for n in nodes if self._holds(tree, folder, n) and self._is_person(n)]
        for node in nodes:
            if node not in others:
                self._list(folder, node, "its name names no student")
        return self._each(tree, folder, others)

    def _flat(
        self, nodes: Sequence[Node], notebooks: Sequence[Node], depth: int
    ) -> list[_Claim] | None:
        """Tell whose notebooks in one folder are by what is in their names besides the lesson."""
        read = {node.name: lesson_in(_normal(node.name), self.lessons) for node in notebooks}
        if not depth and len(read) > 1 and not any(lesson for lesson, _ in read.values()):
            read = {
                name: ("any", "" if re.match("untitled|test", rest, re.IGNORECASE) else rest)
                for name, (_, rest) in read.items()  # anna.ipynb, bob.ipynb: of the only lesson
            }
        people = {rest for lesson, rest in read.values() if lesson and rest}
        google = any(
            lesson and rest and re.search(r"\S - \S", name)
            and (len(people) > 1 or re.fullmatch(r"[^\W\d_]\S*( [^\W\d_]\S*)+", rest))
            for name, (lesson, rest) in read.items()
        )  # fmt: skip
        each = Counter({(lesson, rest) for lesson, rest in read.values() if lesson and rest})
        same = Counter(lesson for lesson, _ in each)
        if not google and len(people) < 4 and max(same.values(), default=0) < 2:
            counts = Counter(lesson for lesson, rest in read.values() if lesson and not rest)
            if counts and max(counts.values()) > 2:
                self.odd = ("several notebooks of a lesson, and no names: taken for one student's",)
            return None
        claims = []
        platform = "Google Classroom" if google else "notebooks with the students' names"
        for node in nodes:
            lesson, rest = read.get(node.name) or lesson_in(_normal(node.name), self.lessons)
            if lesson and rest and node.kind == "file":
                claims.append(_Claim(Owner(platform, rest, {"name": rest}), node.part))
            else:
                self._list("", node, "its name names no student")
        return claims

    def _list(self, folder: str, node: Node, why: str) -> None:
        self.unknown.append(_shown(f"{folder}{node.name}") + f": {why}")


def _told(claims: Sequence[_Claim]) -> bool:
    """Whether a platform's names tell whose it is, so that one student is a class, too."""
    return any("student" not in claim.owner.platform for claim in claims)


def _students(claims: Sequence[_Claim]) -> list[HandedIn]:
    """Join what belongs to the same student, and find names that differ."""
    joined: dict[tuple[str, str], list[_Claim]] = {}
    for claim in claims:
        joined.setdefault(claim.owner.key, []).append(claim)
    shown = {key: _shown(group[0].owner.name) for key, group in joined.items()}
    often, used, students = Counter(shown.values()), set(), []
    for key, group in joined.items():
        ids = {kind: _shown(v) for claim in group for kind, v in claim.owner.ids.items()}
        name, number = shown[key], next((ids[kind] for kind in NUMBERS if kind in ids), None)
        if often[name] > 1 and number:
            name = f"{name} ({number})"
        unique, count = name, 1
        while unique in used:
            count += 1
            unique = f"{name} ({count})"
        used.add(unique)
        remarks = [remark for claim in group for remark in claim.remarks]
        students.append(HandedIn(unique, _paths(group), ids, (*remarks, *_together(group))))
    return sorted(students, key=lambda student: student.name)


def _paths(group: Sequence[_Claim]) -> tuple[Path | Part, ...]:
    """Return what a student handed in, without what platforms write beside it."""
    parts = [claim.part for claim in group if not TEXT_ONLINE.fullmatch(claim.part.name)]
    return tuple(part.path if part == Part(part.path) else part for part in parts)


def _together(group: Sequence[_Claim]) -> Iterator[str]:
    whole = [
        _last(c.part) for c in group if not c.owner.file and "each student" in c.owner.platform
    ]
    if len(whole) > 1:
        yield f"handed in more than once, all was read: {', '.join(whole)}"
    if online := [_last(c.part) for c in group if TEXT_ONLINE.fullmatch(c.part.name)]:
        yield f"not read: {', '.join(online[:3])}"


def _last(part: Part) -> str:
    return _shown(part.member.rstrip("/").rpartition("/")[2] or part.path.name)


def _stem(name: str) -> str:
    for ending in (ARCHIVE, OTHER_ARCHIVE, NOTEBOOK):
        name = ending.sub("", name) or name
    return name


def _is_link(node: Node) -> bool:
    return node.part.path.is_symlink()


def _normal(name: str) -> str:
    """Return a name with one code for each character: macOS writes an umlaut as two."""
    return unicodedata.normalize("NFC", name)


def _shown(name: str) -> str:
    """Return a name fit to be shown: printable, and not too long."""
    text = "".join(c if c.isprintable() else "?" for c in _normal(name))
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."


def _bounded(lines: Sequence[str]) -> list[str]:
    more = len(lines) - MOST_UNKNOWN
    return [*lines[:MOST_UNKNOWN], *([f"and {more} more"] if more > 0 else [])]
