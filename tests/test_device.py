"""What is said of a machine, from files as a Jetson has them."""

import re

import pytest

from utils import device, errors

RELEASE = "# R{} (release), REVISION: {}, GCID: 33958178, BOARD: t186ref, EABI: aarch64, DATE: Tue Aug  1 UTC\n"
MEMINFO = "MemTotal:        7802000 kB\nMemFree:          300000 kB\nMemAvailable:    {} kB\nSwapFree:        {} kB\n"


def machine(root, release=("35", "4.1"), free=5 * 2**20, swap=2**21, board="NVIDIA Orin Nano Developer Kit\0"):
    for folder in ("etc", "proc/device-tree"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "etc/nv_tegra_release").write_text(RELEASE.format(*release))
    (root / "proc/meminfo").write_text(MEMINFO.format(free, swap))
    (root / "proc/device-tree/model").write_text(board)
    return root


@pytest.mark.parametrize(
    "release, parsed, jetpack, tensorrt",
    [
        (("32", "6.1"), (32, 6, 1), "4.6", "8.0"),
        (("32", "7.4"), (32, 7, 4), "4.6.1 to 4.6.6", "8.2"),
        (("35", "4.1"), (35, 4, 1), "5.1", "8.5"),
        (("36", "3.0"), (36, 3, 0), "6.0", "8.6"),
        (("36", "4.3"), (36, 4, 3), "6.1 or 6.2", "10.3"),
        (("36", "5"), (36, 5, 0), "6.1 or 6.2", "10.3"),
        (("39", "2.0"), (39, 2, 0), "7.2", "10.16"),
    ],
)
def test_the_row_of_a_release(tmp_path, release, parsed, jetpack, tensorrt):
    machine(tmp_path, release)
    assert device.l4t_release(tmp_path) == parsed
    row = device.jetpack(parsed)
    assert (row.name, row.tensorrt) == (jetpack, tensorrt)
    assert f"is JetPack {jetpack}: " in device.describe_jetpack(tmp_path)


def test_releases_without_a_row(tmp_path):
    assert device.l4t_release(tmp_path) is None and device.describe_jetpack(tmp_path) == ""
    machine(tmp_path, ("41", "1.0"))
    assert device.describe_jetpack(tmp_path) == "L4T 41.1.0 is a release that this project does not know"
    assert device.jetpack((28, 2, 1)) is None  # older than all: none, not the nearest


def test_names(tmp_path):
    assert device.device_name(machine(tmp_path)) == "NVIDIA Orin Nano Developer Kit"
    (tmp_path / "proc/device-tree/model").unlink()
    (tmp_path / "proc/cpuinfo").write_text("processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\n")
    assert device.device_name(tmp_path) == "Some CPU @ 2 GHz"
    assert device.device_name(tmp_path / "nothing").startswith("Linux")


@pytest.mark.parametrize(
    "said, mode",
    [
        ("NVPM WARN: fan mode is not set!\nNV Power Mode: MAXN\n0", "MAXN"),
        ("NV Fan Mode:quiet\nNV Power Mode: MODE_15W_6CORE\n2", "15W_6CORE"),
        ("something else", None),
    ],
)
def test_power_mode(said, mode):
    assert device.power_mode(["printf", "%s", said]) == mode


def test_power_mode_of_what_has_none(monkeypatch):
    assert device.power_mode(["/nonexistent/nvpmodel", "-q"]) is None
    monkeypatch.setattr(device, "COMMAND_SECONDS", 0.1)
    assert device.power_mode(["sleep", "5"]) is None


def test_memory(tmp_path):
    words = device.describe_memory(machine(tmp_path))
    assert words == "5.0 of 7.4 GB free, 2.0 GB of swap"
    machine(tmp_path, free=2**20, swap=0)
    assert device.describe_memory(tmp_path).startswith("1.0 of 7.4 GB free, 0.0 GB of swap; that is little: ")
    assert device.memory(tmp_path / "nothing") is None and device.describe_memory(tmp_path / "nothing") == ""


def test_slow_protobuf_is_told(monkeypatch):
    from google.protobuf.internal import api_implementation

    monkeypatch.setattr(api_implementation, "Type", lambda: "upb")
    assert device.describe_protobuf() == ""
    monkeypatch.setattr(api_implementation, "Type", lambda: "python")
    assert "pure Python" in device.describe_protobuf()


def test_the_introduction_of_this_machine():
    line = device.describe_machine()[0]
    assert line.startswith(f"device: {device.device_name()}") and re.search(r"; [\d.]+ of [\d.]+ GB free", line)


def test_import_errors(capsys):
    library = "/usr/lib/aarch64-linux-gnu/libgomp.so.1"
    with pytest.raises(SystemExit) as ended, errors.explained_imports():
        raise ImportError(f"{library}: cannot allocate memory in static TLS block")
    assert ended.value.code == 2
    assert capsys.readouterr().err.endswith(f"TLS block: start it as LD_PRELOAD={library} python3 ...\n")
    with pytest.raises(SystemExit), errors.explained_imports():
        raise ModuleNotFoundError("No module named 'cv2'", name="cv2")
    assert "No module named 'cv2': run bash setup.sh" in capsys.readouterr().err
    with pytest.raises(ImportError, match="of our own"), errors.explained_imports():
        raise ImportError("a mistake of our own")
