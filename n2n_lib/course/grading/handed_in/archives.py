"""List and read files wherever they lie: in folders, zip files, tar files, and these in each other.

Nothing is unpacked to the disk, no link is followed, and everything that is read is bounded.
"""

from __future__ import annotations

import gzip
import io
import re
import stat
import tarfile
import unicodedata
import zipfile
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import islice
from pathlib import Path
from typing import BinaryIO

LARGEST = 16 * 2**20
"""Bytes of a file, at most; a lesson with all its pictures has 3 million."""

LARGEST_INNER = 64 * 2**20
"""Bytes of an archive within another, at most: it is held in memory."""

LARGEST_CLASS = 256 * 2**20
"""Bytes of a class's download within another zip file, at most: it is held in memory."""

LARGEST_TABLE = 16 * 2**20
"""Bytes of a zip file's table of contents, at most, which is read whole."""

TOTAL = 256 * 2**20
"""Bytes that are read of one student, unpacked, at most."""

LONGEST = 1000
"""Characters of a path in a class's zip file, at most; no system makes longer ones."""

MOST = 10_000
"""Files of one student, at most."""

DEEPEST = 3
"""Archives within each other, at most."""

ARCHIVE = re.compile(r"\.(zip|tar|tar\.gz|tgz)$", re.IGNORECASE)
"""Names of archives that are read."""

OTHER_ARCHIVE = re.compile(r"\.(7z|rar|gz|bz2|xz|zst|tbz2?|txz|zipx)$", re.IGNORECASE)
"""Names of archives that are not read."""

LITTER = re.compile(
    r"(^|/)(__MACOSX|__pycache__|\.ipynb_checkpoints|\.git|\.github|\.venv|\.vscode|\.idea|\.cache"
    r"|site-packages|Feedback Attachment\(s\)|\.DS_Store|\._[^/]*|\.~[^/]*|Thumbs\.db"
    r"|desktop\.ini)(/|$)",
    re.IGNORECASE,
)
"""Paths that systems, editors and instructors make, copies of notebooks among them."""


@dataclass(frozen=True)
class Part:
    """Where something lies that a student handed in.

    Attributes
    ----------
    path : Path
        Of a folder or file on the disk.
    member : str
        If that is an archive: the file in it that is meant, or the folder, ``lessons/``. Default:
        all of it.
    name : str
        What a file was called by the student. Default: its own name.
    order : str
        Tells attempts apart: of two, the greater was handed in later.
    """

    path: Path
    member: str = ""
    name: str = ""
    order: str = ""


@dataclass(frozen=True)
class Entry:
    """A file.

    Attributes
    ----------
    name : str
        Its path within what was handed in, with ``/`` between folders and archives.
    trouble : str
        Why it is not read; empty if it is.
    time : float
        When it was changed last, as far as known, in seconds.
    order : str
        As in `Part`.
    read : callable
        Returns the bytes. Raises ValueError, or what zlib and zipfile raise.
    """

    name: str
    trouble: str
    time: float
    order: str
    read: Callable[[], bytes]


class Files:
    """The files of one student, each archive opened; a context manager that closes them again.

    Attributes
    ----------
    more : bool
        Whether there were more files than `MOST`; the rest was left out.
    litter : str
        The last name that was left out as `LITTER` and might be that of a notebook.
    """

    def __init__(self) -> None:
        self._open, self._left, self._count = ExitStack(), TOTAL, 0
        self.more, self.litter = False, ""

    def __enter__(self) -> Files:
        return self

    def __exit__(self, *exception: object) -> None:
        self._open.close()

    def of(self, part: Part) -> Iterator[Entry]:
        """Yield the files of a part, but for `LITTER`; archives give what is in them.

        Raises
        ------
        ValueError
            If the part itself cannot be listed.
        """
        if part.path.is_dir():
            found = self._in_folder(part)
        else:
            found = self._in_file(part)
        for entry in found:
            if LITTER.search(entry.name):
                self._leave_out(entry.name)
                continue
            self._count += 1
            if self._count > MOST:
                self.more = True
                return
            yield entry

    def _leave_out(self, name: str) -> None:
        if ".ipynb" in name and "__MACOSX" not in name:
            self.litter = name

    def _in_folder(self, part: Part) -> Iterator[Entry]:
        folders = deque([part.path])
        while folders:  # what lies near the top comes first, should there be too much
            for path in _sorted(folders.popleft()):
                name = path.relative_to(part.path).as_posix()
                if LITTER.search(name):
                    self._leave_out(name)
                    continue
                status = path.lstat()
                if stat.S_ISDIR(status.st_mode):
                    folders.append(path)
                elif not stat.S_ISREG(status.st_mode):
                    trouble = "a link" if stat.S_ISLNK(status.st_mode) else "no file"
                    yield Entry(name, trouble, 0, part.order, _nothing)
                else:
                    yield from self._on_disk(path, name, status.st_mtime, part.order)

    def _in_file(self, part: Part) -> Iterator[Entry]:
        if not part.path.is_file():  # to open a pipe would wait for ever
            raise ValueError("no file")
        if not part.member:
            name, time = part.name or part.path.name, part.path.stat().st_mtime
            if not ARCHIVE.search(name):
                yield from self._on_disk(part.path, name, time, part.order)
            else:
                file = self._open.enter_context(part.path.open("rb"))
                yield from self._in_archive(file, "", part.order, 1)
            return
        file = self._open.enter_context(part.path.open("rb"))
        archive, member = _reach(file, part.member)
        folder = member if member.endswith("/") or not member else ""
        for name, info in archive.members().items():
            if name == member:
                own = part.name or name.rpartition("/")[2]
                yield from self._member(archive, info, own, part.order, 1)
            elif member in ("", folder) and name.startswith(folder):
                yield from self._member(archive, info, name[len(folder) :], part.order, 1)

    def _on_disk(self, path: Path, name: str, time: float, order: str) -> Iterator[Entry]:
        if not ARCHIVE.search(name):
            yield Entry(name, "", time, order, lambda: self._whole(path))
            return
        try:
            file = self._open.enter_context(path.open("rb"))
            yield from self._in_archive(file, f"{name}/", order, 1)
        except Exception as error:  # a broken archive fails in many ways, and costs itself
            yield Entry(name, _reason(error), time, order, _nothing)

    def _in_archive(self, file: BinaryIO, prefix: str, order: str, depth: int) -> Iterator[Entry]:
        """Yield what is in an archive, which its first bytes tell, whatever its name says."""
        head = file.read(512)
        file.seek(0)
        if head[:2] == b"\x1f\x8b" or head[257:262] == b"ustar":
            yield from self._in_tar(file, head[:2] == b"\x1f\x8b", prefix, order, depth)
            return
        archive = _Zip(file)
        for name, info in archive.members().items():
            yield from self._member(archive, info, prefix + name, order, depth)

    def _member(
        self, archive: _Zip, info: zipfile.ZipInfo, name: str, order: str, depth: int
    ) -> Iterator[Entry]:
        inner = ARCHIVE.search(name)
        trouble = archive.trouble(info, LARGEST_INNER if inner else LARGEST)
        if inner and not trouble and not LITTER.search(name):
            yield from self._inner(name, lambda: archive.read(info, self._take), order, depth)
        else:
            time = _zip_time(info)
            yield Entry(name, trouble, time, order, lambda: archive.read(info, self._take))

    def _inner(
        self, name: str, read: Callable[[], bytes], order: str, depth: int
    ) -> Iterator[Entry]:
        """Yield what is in an archive that lies in another."""
        try:
            if depth >= DEEPEST:
                raise ValueError(f"more than {DEEPEST} archives within each other")
            yield from self._in_archive(io.BytesIO(read()), f"{name}/", order, depth + 1)
        except Exception as error:
            yield Entry(name, _reason(error), 0, order, _nothing)

    def _in_tar(
        self, file: BinaryIO, packed: bool, prefix: str, order: str, depth: int
    ) -> Iterator[Entry]:
        """Read a tar file from its begin to its end, once: it has no table of contents."""
        whole = _Counted(gzip.GzipFile(fileobj=file) if packed else file, self._take)
        with tarfile.open(fileobj=whole, mode="r|") as archive:
            for info in archive:
                if info.isdir():
                    continue
                name = prefix + info.name.removeprefix("./")
                inner = ARCHIVE.search(name)
                trouble = _outside(info.name) or _tar_trouble(info, bool(inner))
                content = b""
                if not trouble and not LITTER.search(name):
                    content = archive.extractfile(info).read()
                if inner and content:
                    yield from self._inner(name, lambda held=content: held, order, depth)
                else:
                    yield Entry(name, trouble, info.mtime, order, lambda held=content: held)

    def _whole(self, path: Path) -> bytes:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise ValueError(f"more than {LARGEST >> 20} MB")
        self._take(len(content))
        return content

    def _take(self, count: int) -> None:
        """Count bytes that were read."""
        self._left -= count
        if self._left < 0:
            raise ValueError(f"more than {TOTAL >> 20} MB in all")


class _Zip:
    """A zip file of which only so much is read as is sound."""

    def __init__(self, file: BinaryIO) -> None:
        self._archive = zipfile.ZipFile(_Table(file))

    def members(self) -> dict[str, zipfile.ZipInfo]:
        """Return the files by their names; of several with one name the last, as unzip does."""
        return {_zip_name(i): i for i in self._archive.infolist() if not _zip_name(i)[-1:] == "/"}

    def folders(self) -> list[str]:
        """Return the folders that the table of contents names, which may be empty."""
        names = map(_zip_name, self._archive.infolist())
        return [name for name in names if name.endswith("/")]

    @staticmethod
    def trouble(info: zipfile.ZipInfo, largest: int) -> str:
        """Say why a member is not read, by what the table of contents says of it."""
        if outside := _outside(info.filename):
            return outside
        if stat.S_ISLNK(info.external_attr >> 16):
            return "a link"
        if info.flag_bits & 1:
            return "encrypted"
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            return "packed by a rare method"  # of which some unpack to gigabytes at once
        return f"more than {largest >> 20} MB" if info.file_size > largest else ""

    def read(self, info: zipfile.ZipInfo, take: Callable[[int], None]) -> bytes:
        """Unpack a member: no more than its size says."""
        take(info.file_size)
        with self._archive.open(info) as file:
            return b"".join(iter(lambda: file.read(2**20), b""))  # at once it could be any amount


class _Table(io.RawIOBase):
    """A file for zipfile, which reads a table of contents at once, of whatever size it claims."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._size = file, file.seek(0, io.SEEK_END)

    def read(self, size: int = -1) -> bytes:
        rest = max(0, self._size - self._file.tell())
        size = rest if size < 0 else min(size, rest)
        if size > LARGEST_TABLE:
            raise ValueError(f"a table of contents of more than {LARGEST_TABLE >> 20} MB")
        return self._file.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self._file.close()
        super().close()


class _Counted:
    """A stream whose bytes are counted."""

    def __init__(self, file: BinaryIO, take: Callable[[int], None]) -> None:
        self._file, self._take = file, take

    def read(self, size: int) -> bytes:
        content = self._file.read(size)
        self._take(len(content))
        return content


@dataclass(frozen=True)
class Node:
    """A thing in a folder: its name, and whether it is a folder, a file, or none of these."""

    name: str
    kind: str
    part: Part


class Tree:
    """Names of what is in a folder, or in a zip file; no file in it is opened.

    Parameters
    ----------
    path : Path
        Of the folder or zip file.
    inner : str
        If a zip file within that one is meant: its path in it, and a slash.

    Raises
    ------
    ValueError
        If it is none, or cannot be read.
    """

    def __init__(self, path: Path, inner: str = "") -> None:
        self.path, self._inner = path, inner
        self._table: dict[str, dict[str, str]] | None = None
        if path.is_dir():
            return
        if not path.is_file() or path.suffix.lower() != ".zip":
            raise ValueError(f"expected a folder of submissions or a zip file, got {path}")
        try:
            with path.open("rb") as file:
                archive, _ = _reach(file, inner)
                names = [*archive.members(), *archive.folders()]
        except Exception as error:
            raise ValueError(
                f"expected a folder of submissions or a zip file, got {path}: {_reason(error)}"
            ) from None
        self._table = {}
        for name in names:
            if not _outside(name) and len(name) <= LONGEST:
                self._add(name)

    @property
    def is_archive(self) -> bool:
        """Whether it is a zip file."""
        return self._table is not None

    def _add(self, name: str) -> None:
        """Take a path into the table: of every folder, the names in it and what they are."""
        kind = "folder" if name.endswith("/") else "file"
        while name.strip("/"):
            folder, _, last = name.rstrip("/").rpartition("/")
            self._table.setdefault(folder + "/" if folder else "", {})[last] = kind
            name, kind = folder, "folder"

    def list(self, folder: str = "") -> list[Node]:
        """Return what is in a folder of the tree, ``""`` or ``a/b/``, by name."""
        if self._table is not None:
            inside = sorted(self._table.get(folder, {}).items())
            return [
                Node(name, kind, Part(self.path, self._inner + folder + name + slash))
                for name, kind in inside
                for slash in ["/" if kind == "folder" else ""]
            ]
        return [Node(path.name, _kind(path), Part(path)) for path in _sorted(self.path / folder)]


def names_in(part: Part) -> list[str]:
    """Return the paths of the files in a part, as far as they are seen without unpacking it."""
    if part.path.is_dir():
        found = islice(part.path.rglob("*"), MOST)
        return [path.relative_to(part.path).as_posix() for path in found]
    if not part.member and part.path.suffix.lower() != ".zip":
        return [part.path.name]
    try:
        with part.path.open("rb") as file:
            archive, member = _reach(file, part.member)
            names = archive.members()
            return [name[len(member) :] for name in names if name.startswith(member)]
    except Exception:  # whoever reads it will say why it is broken
        return []


def _reach(file: BinaryIO, member: str) -> tuple[_Zip, str]:
    """Open the innermost zip file that leads to a member; return it, and the rest of the path."""
    archive = _Zip(file)
    for name, info in archive.members().items():
        if name.lower().endswith(".zip") and member.startswith(f"{name}/"):
            if trouble := archive.trouble(info, LARGEST_CLASS):
                raise ValueError(f"{name}: {trouble}")
            content = archive.read(info, lambda count: None)
            return _reach(io.BytesIO(content), member[len(name) + 1 :])
    return archive, member


def _kind(path: Path) -> str:
    mode = path.lstat().st_mode
    return "folder" if stat.S_ISDIR(mode) else "file" if stat.S_ISREG(mode) else "other"


def _sorted(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:  # nobody may list it
        return []


def _nothing() -> bytes:
    return b""


def _outside(name: str) -> str:
    leads_out = re.match(r"[/\\]|\w:[/\\]", name) or ".." in re.split(r"[/\\]", name)
    return "a path out of the archive" if leads_out else ""


def _tar_trouble(info: tarfile.TarInfo, inner: bool) -> str:
    largest = LARGEST_INNER if inner else LARGEST
    if info.issym() or info.islnk():
        return "a link"
    if not info.isreg() or info.issparse():
        return "no file"
    return f"more than {largest >> 20} MB" if info.size > largest else ""


def _zip_time(info: zipfile.ZipInfo) -> float:
    try:
        return datetime(*info.date_time, tzinfo=timezone.utc).timestamp()
    except (ValueError, OverflowError):
        return 0


def _zip_name(info: zipfile.ZipInfo) -> str:
    r"""Return a name as its owner wrote it: with ``/`` for ``\``, and umlauts for what they became.

    Without the flag for UTF-8 nothing says in what encoding a name is: Windows writes that of its
    terminals, other programs UTF-8 or that of its windows.
    """
    name = info.filename.replace("\\", "/")
    if not info.flag_bits & 0x800 and not name.isascii():
        name = _decoded(name)
    return unicodedata.normalize("NFC", name)


def _decoded(name: str) -> str:
    """Return the likeliest reading of a name that was read as one of DOS."""
    for encoding in ("utf-8", "cp1252"):
        try:
            other = name.encode("cp437").decode(encoding)
        except UnicodeError:
            continue
        if encoding == "utf-8" or _latin(other) > _latin(name):  # nothing is UTF-8 by chance
            return other
    return name


def _latin(name: str) -> float:
    """Return which part of the special characters are Latin letters."""
    special = [c for c in name if not c.isascii()]
    letters = [c for c in special if unicodedata.name(c, "").startswith(("LATIN", "COMBINING"))]
    return len(letters) / len(special) if special else 1


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
