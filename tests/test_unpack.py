"""Archives given to data/prepare.py: evil members, damage, a full disk and a Mac's additions."""

import io
import shutil
import stat
import tarfile
import zipfile
from collections import namedtuple
from pathlib import Path

import pytest

from data import unpack as unpacking
from tests.conftest import refusal, run
from tests.drawn_layouts import arrange, first, prepared, put
from utils.errors import InputError

pytestmark = pytest.mark.usefixtures("small_table")


def evil_zip(path, drawn, name, mode=stat.S_IFREG | 0o644, content=b"gotcha"):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/0001_c1s1_000001_00.jpg", drawn[0, 0, ".jpg"])
        member = zipfile.ZipInfo(name)
        member.external_attr = mode << 16
        archive.writestr(member, content)
    return path


def evil_tar(path, drawn, name, kind=tarfile.REGTYPE, linkname=""):
    with tarfile.open(path, "w:gz") as archive:
        for member_name, member_kind in (("a/0001_c1s1_000001_00.jpg", tarfile.REGTYPE), (name, kind)):
            member = tarfile.TarInfo(member_name)
            member.type, member.linkname = member_kind, linkname
            member.size = len(drawn[0, 0, ".jpg"]) if member_kind == tarfile.REGTYPE else 0
            archive.addfile(member, io.BytesIO(drawn[0, 0, ".jpg"]))
    return path


def test_evil_members_are_refused_by_name(drawn, tmp_path):
    outside = tmp_path / "inner" / "victim.jpg"
    paths = (
        "../victim.jpg",
        "a/../../../victim.jpg",
        str(outside),
        "..\\victim.jpg",
        "C:\\victim.jpg",
        "../victim.exe",
    )
    archives = [(evil_zip(tmp_path / f"{n}.zip", drawn, name), name) for n, name in enumerate(paths)]
    archives += [(evil_tar(tmp_path / f"{n}.tar.gz", drawn, name), name) for n, name in enumerate(paths)]
    archives += [(evil_zip(tmp_path / "link.zip", drawn, "x.jpg", stat.S_IFLNK | 0o777, b"/etc/passwd"), "x.jpg")]
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
        path = tmp_path / f"kind{kind.decode()}.tar.gz"
        archives.append((evil_tar(path, drawn, "folder", kind, "/etc"), "folder"))
    for archive, name in archives:
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(InputError) as error:
            prepared(archive, tmp_path / "inner" / "set")
        message = str(error.value)
        assert repr(name) in message and archive.name in message and "\n" not in message, message
        (tmp_path / "inner").rmdir()  # empty: whatever was begun is gone
        assert sorted(tmp_path.rglob("*")) == before


def test_damaged_archives_are_refused(drawn, tmp_path):
    arrange("market1501", tmp_path / "source", drawn)
    for form, suffix in (
        ("zip", ".zip"),
        ("gztar", ".tar.gz"),
        ("tar", ".tar"),
        ("bztar", ".tar.bz2"),
        ("xztar", ".tar.xz"),
    ):
        whole = Path(shutil.make_archive(str(tmp_path / "set"), form, tmp_path / "source"))
        content = whole.read_bytes()
        (tmp_path / f"short{suffix}").write_bytes(content[: len(content) // 2])
        with pytest.raises(InputError, match="short.* is damaged, cut short"):
            prepared(tmp_path / f"short{suffix}", tmp_path / "out")
        # In the middle, or for a plain tar, which has no checksum of contents, one of its headers.
        middle = content.index(b"ustar", len(content) // 2) - 257 if form == "tar" else len(content) // 2
        (tmp_path / f"bits{suffix}").write_bytes(content[:middle] + bytes(512) + content[middle + 512 :])
        with pytest.raises(InputError, match="bits.* is damaged"):
            prepared(tmp_path / f"bits{suffix}", tmp_path / "out")
    (tmp_path / "page.zip").write_text("<html>sign in to download</html>")
    with pytest.raises(InputError, match="page.zip is damaged, cut short or no .zip or .tar"):
        prepared(tmp_path / "page.zip", tmp_path / "out")
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("form", ["zip", "tar"])
def test_a_full_disk_is_said_before_it_is_full(form, drawn, tmp_path, monkeypatch):
    arrange("market1501", tmp_path / "source", drawn)
    archive = shutil.make_archive(str(tmp_path / "set"), form, tmp_path / "source")
    usage = namedtuple("usage", "total used free")(0, 0, unpacking.SPARE + 100)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(InputError, match=r"set.* needs .* GB and there are 0.5 GB free"):
        prepared(archive, tmp_path / "out")
    assert not list(tmp_path.glob(".*"))
    with pytest.raises(InputError, match="GB free"):
        prepared(tmp_path / "source", tmp_path / "out", "--link=copy")


def test_a_macs_additions_are_left_out(drawn, tmp_path, capsys):
    root = arrange("market1501", tmp_path / "source", drawn)
    for folder in ("query", "bounding_box_train"):
        put(root / folder / f"._{first(root, folder).name}", b"mac")
    put(tmp_path / "source" / "__MACOSX" / "query" / first(root, "query").name, b"mac")
    assert prepared(shutil.make_archive(str(tmp_path / "set"), "zip", tmp_path / "source"), tmp_path / "zip") == 0
    shutil.rmtree(tmp_path / "source" / "__MACOSX")
    capsys.readouterr()
    assert prepared(tmp_path / "source", tmp_path / "folder") == 0
    assert "3 files that are no pictures of the set were left out" in capsys.readouterr().out  # and Thumbs.db


def test_as_a_user_runs_it(drawn, tmp_path):
    evil = evil_zip(tmp_path / "evil.zip", drawn, "../x.jpg")
    assert refusal(run("data/prepare.py", evil, "--output", tmp_path / "new")).startswith(f"error: {evil}: its member")
