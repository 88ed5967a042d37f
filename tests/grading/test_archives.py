"""Archives give what is in them, never more than is sound, and nothing of the computer's."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from handing_in import packed

from n2n_lib.course.grading.handed_in import archives
from n2n_lib.course.grading.handed_in.archives import Files, Part, Tree

CONTENT = b"a notebook"


def zipped(*members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return buffer.getvalue()


def tarred(*members: tuple[str | tarfile.TarInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for member, content in members:
            info = tarfile.TarInfo(member) if isinstance(member, str) else member
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def found(path: Path, content: bytes | None = None) -> dict[str, bytes | str]:
    """Return the content of every file, or why it is not read."""
    if content is not None:
        path.write_bytes(content)
    got: dict[str, bytes | str] = {}
    with Files() as files:
        for entry in files.of(Part(path)):
            try:
                got[entry.name] = entry.trouble or entry.read()
            except Exception as error:
                got[entry.name] = f"{type(error).__name__}: {error}"
    return got


# ---------------------------------------------------------------------- what is read


def test_archives_in_each_other_are_read(tmp_path: Path):
    inner = tarred(("c.ipynb", CONTENT), ("d.zip", zipped(("e.ipynb", CONTENT))))
    outer = zipped(("a/b.tar.gz", gzip.compress(inner)), ("f.ipynb", CONTENT))
    assert found(tmp_path / "x.zip", outer) == {
        "a/b.tar.gz/c.ipynb": CONTENT,
        "a/b.tar.gz/d.zip/e.ipynb": CONTENT,
        "f.ipynb": CONTENT,
    }


def test_an_archive_is_known_by_its_content(tmp_path: Path):
    assert found(tmp_path / "x.zip", tarred(("a", CONTENT))) == {"a": CONTENT}
    assert found(tmp_path / "x.tar", zipped(("a", CONTENT))) == {"a": CONTENT}
    assert found(tmp_path / "x.tgz", tarred(("./a", CONTENT))) == {"a": CONTENT}


@pytest.mark.parametrize("encoding", ["utf-8", "cp437", "cp850", "cp1252"])
def test_names_are_read_in_the_encoding_of_their_writer(tmp_path: Path, encoding: str):
    name = "Jörg Grün-Bähr\\übung.ipynb"
    raw = name.encode(encoding)
    stand_in = "x" * len(raw)
    content = zipped((stand_in, CONTENT)).replace(stand_in.encode(), raw)  # without the flag
    assert found(tmp_path / "x.zip", content) == {name.replace("\\", "/"): CONTENT}


def test_letters_of_macos_are_put_together(tmp_path: Path):
    assert found(tmp_path / "x.zip", zipped(("Jo\u0308rg", CONTENT))) == {"Jörg": CONTENT}


def test_copies_of_systems_are_left_out(tmp_path: Path):
    names = "__MACOSX/a", "._a", ".ipynb_checkpoints/a", ".git/a", "a/.DS_Store", "a/.venv/x"
    assert found(tmp_path / "x.zip", zipped(*((n, b"") for n in names), ("a", b""))) == {"a": b""}


def test_of_one_name_the_last_member_counts(tmp_path: Path):
    with pytest.warns(UserWarning, match="Duplicate name"):
        content = zipped(("a", b"1"), ("a", b"2"))
    assert found(tmp_path / "x.zip", content) == {"a": b"2"}


def test_a_part_of_an_archive_is_read_alone(tmp_path: Path):
    path = packed(tmp_path / "x.zip", ("ann/a", b"1"), ("anna/a", b"2"), ("b", b"3"))
    with Files() as files:
        assert [(e.name, e.read()) for e in files.of(Part(path, "ann/"))] == [("a", b"1")]
        assert [(e.name, e.read()) for e in files.of(Part(path, "b", name="c"))] == [("c", b"3")]


def test_a_tree_shows_folders_that_nobody_has_written_down(tmp_path: Path):
    tree = Tree(packed(tmp_path / "x.zip", ("a/b/c", b""), ("d/", b""), ("../e", b"")))
    assert [(n.name, n.kind, n.part.member) for n in tree.list()] == [
        ("a", "folder", "a/"),
        ("d", "folder", "d/"),
    ]
    assert [n.part.member for n in tree.list("a/b/")] == ["a/b/c"]


# ---------------------------------------------------------------------- what is not


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_that_unpack_at_once_are_refused(tmp_path: Path, method: int):
    content = zipped(("a", bytes(10**6)), method=method)
    assert found(tmp_path / "x.zip", content) == {"a": "packed by a rare method"}


def test_a_locked_member_is_refused(tmp_path: Path):
    content = bytearray(zipped(("a", CONTENT)))
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + place] |= 1
    assert found(tmp_path / "x.zip", bytes(content)) == {"a": "encrypted"}


def memory_of(path: Path) -> tuple[dict[str, bytes | str], int]:
    tracemalloc.start()
    try:
        return found(path), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_member_never_gives_more_than_it_says(tmp_path: Path):
    content = bytearray(zipped(("a", bytes(5 * 10**7))))
    for mark, place in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        struct.pack_into("<I", content, content.index(mark) + place, 1000)
    (tmp_path / "x.zip").write_bytes(content)
    got, memory = memory_of(tmp_path / "x.zip")
    assert got == {"a": "BadZipFile: Bad CRC-32 for file 'a'"}
    assert memory < 5 * 2**20


def test_a_large_member_is_refused_by_what_it_says(tmp_path: Path):
    (tmp_path / "x.zip").write_bytes(zipped(("a", bytes(archives.LARGEST + 1)), ("b", CONTENT)))
    got, memory = memory_of(tmp_path / "x.zip")
    assert got == {"a": "more than 16 MB", "b": CONTENT}
    assert memory < 2**20


def test_archives_within_archives_end_somewhere(tmp_path: Path):
    content = zipped(("a", CONTENT))
    for _ in range(archives.DEEPEST):
        content = zipped(("x.zip", content))
    (text,) = found(tmp_path / "x.zip", content).values()
    assert text == "more than 3 archives within each other"


def test_what_is_unpacked_for_a_student_is_bounded(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(archives, "TOTAL", 10**6)
    inner = zipped(*((str(n), bytes(10**5)) for n in range(6)))
    got = found(tmp_path / "x.zip", zipped(("a.zip", inner), ("b.zip", inner)))
    assert sum(isinstance(each, bytes) for each in got.values()) == 9
    assert {e for e in got.values() if isinstance(e, str)} == {"ValueError: more than 0 MB in all"}


def test_a_tar_file_that_unpacks_without_end_is_left(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(archives, "TOTAL", 10**6)
    bomb = gzip.compress(tarred(*((str(n), bytes(5 * 10**5)) for n in range(4))))
    got = found(tmp_path / "y.zip", zipped(("a.tar.gz", bomb), ("b", b"")))
    assert got["a.tar.gz"] == "more than 0 MB in all"


def test_a_huge_table_of_contents_is_refused(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(archives, "LARGEST_TABLE", 10**5)
    packed(tmp_path / "x.zip", *((f"{n:0100}", b"") for n in range(1000)))
    with pytest.raises(ValueError, match="a table of contents of more than"):
        found(tmp_path / "x.zip")
    with pytest.raises(ValueError, match=r"got .*x.zip: a table of contents of more than"):
        Tree(tmp_path / "x.zip")


def test_long_paths_do_not_fill_a_tree(tmp_path: Path):
    path = packed(tmp_path / "x.zip", ("a/" * 30_000 + "b", b""), ("ann/c", b""))
    tracemalloc.start()
    try:
        assert [node.name for node in Tree(path).list()] == ["ann"]
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()


def test_a_tar_file_leads_nowhere_else(tmp_path: Path):
    infos = {name: tarfile.TarInfo(name) for name in ("link", "hard", "fifo", "device")}
    kinds = tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE
    for info, kind in zip(infos.values(), kinds, strict=True):
        info.type, info.linkname = kind, "/etc/passwd"
    content = tarred(*((info, b"") for info in infos.values()), ("../a", b""), ("/etc/b", b""))
    assert found(tmp_path / "x.tar", content) == {
        "link": "a link",
        "hard": "a link",
        "fifo": "no file",
        "device": "no file",
        "../a": "a path out of the archive",
        "/etc/b": "a path out of the archive",
    }
    assert [path.name for path in tmp_path.iterdir()] == ["x.tar"]


@pytest.mark.parametrize("name", ["x.zip", "x.tar.gz", "x.tar"])
def test_a_broken_archive_costs_itself(tmp_path: Path, name: str):
    whole = {
        "x.zip": zipped(("a", CONTENT)),
        "x.tar.gz": gzip.compress(tarred(("a", bytes(10**5)))),
        "x.tar": tarred(("a", bytes(10**5))),
    }[name]
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    (tmp_path / "b").write_bytes(CONTENT)
    got = found(tmp_path)
    assert got["b"] == CONTENT
    assert isinstance(got[name], str) and got[name]
