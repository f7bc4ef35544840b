"""utils/unpack.py and the archives given to data/prepare.py: unsafe members, damage, a full disk, a Mac's files."""

import io
import shutil
import stat
import tarfile
import zipfile
from collections import namedtuple
from pathlib import Path

import pytest

from data.prepare import is_data_file
from tests.drawn_layouts import arrange, first, prepared, put
from utils import unpack as unpacking
from utils.errors import InputError
from utils.unpack import unpack

FORMATS = {"zip": ".zip", "tar": ".tar", "gztar": ".tar.gz", "bztar": ".tar.bz2", "xztar": ".tar.xz"}


def make_zip(path, name, mode=stat.S_IFREG | 0o644):
    """A zip of a harmless member and the named one."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/0001_c1s1_000001_00.jpg", b"image")
        member = zipfile.ZipInfo(name)
        member.external_attr = mode << 16
        archive.writestr(member, b"/etc/passwd")
    return path


def make_tar(path, name, kind=tarfile.REGTYPE):
    """A tar of a harmless member and the named one."""
    with tarfile.open(path, "w:gz") as archive:
        for member_name, member_kind in (("a/0001_c1s1_000001_00.jpg", tarfile.REGTYPE), (name, kind)):
            member = tarfile.TarInfo(member_name)
            member.type = member_kind
            member.linkname = "/etc"
            member.size = 5 if member_kind == tarfile.REGTYPE else 0
            archive.addfile(member, io.BytesIO(b"image"))
    return path


@pytest.mark.parametrize("make", [make_zip, make_tar])
@pytest.mark.parametrize(
    "name",
    ["../victim.jpg", "a/../../../victim.jpg", "{tmp}/victim.jpg", "..\\victim.jpg", "C:\\victim.jpg", "../x"],
)
def test_unpack_refuses_a_path_outside_the_folder(make, name, tmp_path):
    name = name.format(tmp=tmp_path)
    archive = make(tmp_path / "archive", name)
    with pytest.raises(InputError, match="archive: its member .* would be written outside the folder") as error:
        unpack(archive, tmp_path / "inner", wanted=is_data_file)
    assert repr(name) in str(error.value) and "\n" not in str(error.value)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["archive", "inner"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, "zip"])
def test_unpack_refuses_links_and_devices(kind, tmp_path):
    if kind == "zip":
        archive = make_zip(tmp_path / "archive", "x.jpg", stat.S_IFLNK | 0o777)
    else:
        archive = make_tar(tmp_path / "archive", "x.jpg", kind)
    with pytest.raises(InputError, match="archive: its member 'x.jpg' is a link or a device"):
        unpack(archive, tmp_path / "inner")
    assert not list((tmp_path / "inner").iterdir())


@pytest.mark.parametrize("form", FORMATS)
def test_unpack_gives_back_what_was_packed(form, tmp_path, monkeypatch):
    put(tmp_path / "source" / "a" / "1.jpg", b"image" * 999)
    put(tmp_path / "source" / "a" / "list.txt", b"")
    put(tmp_path / "source" / "a" / "b" / "program.exe", b"code")
    archive = Path(shutil.make_archive(str(tmp_path / "set"), form, tmp_path / "source"))
    assert unpack(archive, tmp_path / "all") == 0
    for path in (tmp_path / "source").rglob("*.*"):
        assert (tmp_path / "all" / path.relative_to(tmp_path / "source")).read_bytes() == path.read_bytes()
    assert unpack(archive, tmp_path / "some", wanted=is_data_file) == 1
    assert sorted(path.name for path in (tmp_path / "some").rglob("*.*")) == ["1.jpg", "list.txt"]


def test_unpack_a_tar_that_ends_with_a_zip(tmp_path):
    make_zip(tmp_path / "inner.zip", "x.jpg")
    with tarfile.open(tmp_path / "outer.tar", "w") as archive:
        archive.add(tmp_path / "inner.zip", "inner.zip")
    assert zipfile.is_zipfile(tmp_path / "outer.tar")
    unpack(tmp_path / "outer.tar", tmp_path / "all")
    assert [path.name for path in (tmp_path / "all").iterdir()] == ["inner.zip"]


def test_unpack_refuses_a_zip_with_a_password(tmp_path):
    archive = make_zip(tmp_path / "archive", "x.jpg")
    content = bytearray(archive.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + offset] |= 1  # the flag of an encrypted member
    archive.write_bytes(content)
    with pytest.raises(InputError, match="archive cannot be unpacked .*password required.*: unpack it by hand"):
        unpack(archive, tmp_path / "inner")


@pytest.mark.parametrize("form", FORMATS)
def test_unpack_refuses_a_damaged_archive(form, drawn, tmp_path):
    root = arrange("market1501", tmp_path / "source", drawn)
    whole = Path(shutil.make_archive(str(tmp_path / "set"), form, root))
    content = whole.read_bytes()
    short = tmp_path / f"short{FORMATS[form]}"
    for size in (len(content) // 2, 10):
        short.write_bytes(content[:size])
        with pytest.raises(InputError, match="short.* is damaged, cut short"):
            unpack(short, tmp_path / f"short{size}")
    # In the middle; a plain tar has no checksum of contents, so there in one of its headers.
    middle = content.index(b"ustar", len(content) // 2) - 257 if form == "tar" else len(content) // 2
    bits = tmp_path / f"bits{FORMATS[form]}"
    for number, garbage in enumerate((bytes(512), b"x" * 512)):
        bits.write_bytes(content[:middle] + garbage + content[middle + 512 :])
        with pytest.raises(InputError, match="bits.* is damaged"):
            unpack(bits, tmp_path / f"bits{number}")


def test_prepare_refuses_a_page_instead_of_an_archive(tmp_path):
    (tmp_path / "page.zip").write_text("<html>sign in to download</html>")
    with pytest.raises(InputError, match="page.zip is damaged, cut short or not a .zip or .tar"):
        prepared(tmp_path / "page.zip", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["page.zip"]


@pytest.mark.parametrize("form", ["zip", "tar"])
def test_prepare_refuses_an_archive_that_the_disk_has_no_room_for(form, drawn, tmp_path, monkeypatch):
    arrange("market1501", tmp_path / "source", drawn)
    archive = shutil.make_archive(str(tmp_path / "set"), form, tmp_path / "source")
    usage = namedtuple("usage", "total used free")(0, 0, unpacking.SPARE + 100)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(InputError, match=r"set.* needs .* GB and there are 0.5 GB free"):
        prepared(archive, tmp_path / "out")
    assert sorted(path.suffix for path in tmp_path.iterdir()) == ["", f".{form}"]
    with pytest.raises(InputError, match="GB free"):
        prepared(tmp_path / "source", tmp_path / "out", "--link=copy")


def test_prepare_leaves_out_the_hidden_files_of_a_mac(small_table, drawn, tmp_path, capsys):
    root = arrange("market1501", tmp_path / "source", drawn)
    for folder in ("query", "bounding_box_train"):
        put(root / folder / f"._{first(root, folder).name}", b"mac")
    put(tmp_path / "source" / "__MACOSX" / "query" / first(root, "query").name, b"mac")
    assert prepared(shutil.make_archive(str(tmp_path / "set"), "zip", tmp_path / "source"), tmp_path / "zip") == 0
    shutil.rmtree(tmp_path / "source" / "__MACOSX")
    capsys.readouterr()
    assert prepared(tmp_path / "source", tmp_path / "folder") == 0
    assert "3 files that are not images were left out" in capsys.readouterr().out  # and Thumbs.db
