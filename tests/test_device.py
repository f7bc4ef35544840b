"""The description of a machine, from files as a Jetson has them; the JetPack table of the documentation."""

import re

import pytest

from tests.helpers import ROOT
from utils import device

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
def test_jetpack_finds_the_row_of_a_release(tmp_path, release, parsed, jetpack, tensorrt):
    machine(tmp_path, release)
    assert device.l4t_release(tmp_path) == parsed
    row = device.jetpack(parsed)
    assert (row.name, row.tensorrt) == (jetpack, tensorrt)
    assert f"is JetPack {jetpack}: " in device.describe_jetpack(tmp_path)


def test_jetpack_of_an_unknown_release(tmp_path):
    assert device.l4t_release(tmp_path) is None and device.describe_jetpack(tmp_path) == ""
    machine(tmp_path, ("41", "1.0"))
    assert device.describe_jetpack(tmp_path) == "L4T 41.1.0 is a release that this project does not know"
    assert device.jetpack((28, 2, 1)) is None  # older than all rows


def test_device_name(tmp_path):
    assert device.device_name(machine(tmp_path)) == "NVIDIA Orin Nano Developer Kit"
    (tmp_path / "proc/device-tree/model").unlink()
    (tmp_path / "proc/cpuinfo").write_text("processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\n")
    assert device.device_name(tmp_path) == "Some CPU @ 2 GHz"
    assert device.device_name(tmp_path / "nothing").startswith("Linux")


@pytest.mark.parametrize(
    "output, mode",
    [
        ("NVPM WARN: fan mode is not set!\nNV Power Mode: MAXN\n0", "MAXN"),
        ("NV Fan Mode:quiet\nNV Power Mode: MODE_15W_6CORE\n2", "15W_6CORE"),
        ("something else", None),
    ],
)
def test_power_mode(output, mode):
    assert device.power_mode(["printf", "%s", output]) == mode


def test_power_mode_without_nvpmodel(monkeypatch):
    assert device.power_mode(["/nonexistent/nvpmodel", "-q"]) is None
    monkeypatch.setattr(device, "COMMAND_SECONDS", 0.1)
    assert device.power_mode(["sleep", "5"]) is None


def test_describe_memory(tmp_path):
    assert device.describe_memory(machine(tmp_path)) == "5.0 of 7.4 GB free, 2.0 GB of swap"
    machine(tmp_path, free=2**20, swap=0)
    assert device.describe_memory(tmp_path).startswith("1.0 of 7.4 GB free, 0.0 GB of swap; that is little: ")
    assert device.memory(tmp_path / "nothing") is None and device.describe_memory(tmp_path / "nothing") == ""


def test_describe_protobuf_warns_if_it_is_slow(monkeypatch):
    from google.protobuf.internal import api_implementation

    monkeypatch.setattr(api_implementation, "Type", lambda: "upb")
    assert device.describe_protobuf() == ""
    monkeypatch.setattr(api_implementation, "Type", lambda: "python")
    assert "pure Python" in device.describe_protobuf()


def test_is_jetson(tmp_path):
    assert not device.is_jetson(tmp_path)
    assert device.is_jetson(machine(tmp_path))
    (tmp_path / "etc/nv_tegra_release").unlink()  # as in a container
    assert not device.is_jetson(tmp_path)
    (tmp_path / "proc/device-tree/compatible").write_bytes(b"nvidia,p3768-0000+p3767-0005\0nvidia,tegra234\0")
    assert device.is_jetson(tmp_path)


@pytest.mark.parametrize(
    "names, mode, command",
    [
        (["15W", "25W", "MAXN_SUPER"], "25W", "sudo nvpmodel -m 2 (MAXN_SUPER)"),  # Orin Nano Super
        (["MAXN", "MODE_15W", "MODE_30W", "MAXN_SUPER"], "MAXN", "sudo nvpmodel -m 3 (MAXN_SUPER)"),
        (["MAXN", "MODE_15W"], "MAXN", ""),
        (["15W", "7W"], "7W", ""),
    ],
)
def test_full_speed_has_the_number_of_this_board(names, mode, command, tmp_path):
    assert device.full_speed(mode, tmp_path) == ""
    lines = ["# FORMAT:", "< PARAM TYPE=FILE NAME=CPU_ONLINE >"]
    for number, name in enumerate(names):
        lines += [f"< POWER_MODEL ID={number} NAME={name} >", "CPU_ONLINE CORE_0 1"]
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/nvpmodel.conf").write_text("\n".join(lines))
    assert device.full_speed(mode, tmp_path) == command


def test_describe_machine(tmp_path, monkeypatch):
    monkeypatch.setattr(device, "power_mode", lambda: "15W")
    monkeypatch.setattr(device, "describe_protobuf", lambda: "")
    machine(tmp_path)
    (tmp_path / "etc/nvpmodel.conf").write_text("< POWER_MODEL ID=0 NAME=MAXN >\n< POWER_MODEL ID=1 NAME=15W >\n")
    assert device.describe_machine(tmp_path) == [
        "device: NVIDIA Orin Nano Developer Kit; L4T 35.4.1 is JetPack 5.1: Python 3.8, TensorRT 8.5, NVIDIA's last"
        " TensorFlow 2.12.0+nv23.06, TensorRT through TensorFlow: expected, not tested (without TensorFlow, pipeline.py"
        " takes the folder that --onnx wrote on a desktop); power mode 15W, full speed: sudo nvpmodel -m 0 (MAXN); 5.0"
        " of 7.4 GB free, 2.0 GB of swap"
    ]
    monkeypatch.setattr(device, "power_mode", lambda: None)
    monkeypatch.setattr(device, "describe_protobuf", lambda: "protobuf is slow")
    desktop = tmp_path / "desktop"
    (desktop / "proc").mkdir(parents=True)
    (desktop / "proc/cpuinfo").write_text("model name\t: Some CPU\n")
    assert device.describe_machine(desktop) == ["device: Some CPU", "note: protobuf is slow"]


# ---- the table in the documentation ----


def documented_jetpacks() -> list:
    """The rows of the JetPack table in README.md or docs/, each as {column title: cell}."""
    for page in [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]:
        lines = page.read_text().splitlines()
        starts = [number for number, line in enumerate(lines) if line.startswith("| JetPack |")]
        if starts:
            break
    table = lines[starts[0] :]
    end = next((number for number, line in enumerate(table) if not line.startswith("|")), len(table))
    titles, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in table[:end])
    return [dict(zip(titles, row)) for row in rows]


def numbers(cell: str) -> list:
    return re.findall(r"\d+(?:\.\d+)*", cell)


def column(row: dict, title: str) -> str:
    return next(cell for name, cell in row.items() if name.startswith(title))


def test_the_documented_jetpack_table_is_the_one_in_the_code():
    """A row of the documentation may cover several of MATRIX: `7.x`, `6.1, 6.2`, `8.0 to 8.2`, `10.13 and later`."""
    rows = documented_jetpacks()
    covered = [[] for _ in rows]
    for entry in device.MATRIX:
        release = numbers(entry.name)[0] + "."  # 6.1 must not match 6.10
        places = [
            place
            for place, row in enumerate(rows)
            if any(release.startswith(number + ".") for number in numbers(column(row, "JetPack")))
        ]
        assert len(places) == 1, f"JetPack {entry.name} stands in {len(places)} rows of the documentation"
        covered[places[0]].append(entry)
    for row, entries in zip(rows, covered):
        assert entries, f"{row} is not in MATRIX"
        assert {entry.python for entry in entries} == {column(row, "Python")}, row
        assert {".".join(entry.tensorflow.split(".")[:2]) for entry in entries} == {column(row, "TensorFlow")}, row
        cell = column(row, "TensorRT")
        versions = list(dict.fromkeys(entry.tensorrt for entry in entries))  # in ascending order, as MATRIX
        assert numbers(cell) == (versions[:1] if "later" in cell else versions), row
