"""Which machine this is: its name, the JetPack release, the power mode, free memory. Asks files and no network.

Users of a Jetson stumble over the same things again and again: a TensorFlow without TensorRT, a conversion that is
killed for lack of memory, models that load for minutes, a board in its low power mode. What can be seen of that is said
before it hurts. Nothing here imports TensorFlow, and nothing raises where a file or a command is missing.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

ROOT = Path("/")
SECONDS = 5  # for a command that should answer at once
LOW_MEMORY = 2.0  # GB of memory and swap together, below which building engines was often killed


class JetPack(NamedTuple):
    """What NVIDIA ships with a release, and what of TensorRT its last TensorFlow can use."""

    l4t: tuple  # the lowest release of Linux for Tegra that it covers
    name: str
    python: str
    tensorrt: str
    tensorflow: str
    tf_trt: str


# NVIDIA's release pages and package index; L4T numbers as in rbonghi/jetson_stats. Lowest first.
MATRIX = (
    JetPack((32, 6), "4.6", "3.6", "8.0", "2.7.0+nv22.1", "yes"),
    JetPack((32, 7), "4.6.1 to 4.6.6", "3.6", "8.2", "2.7.0+nv22.1", "yes"),
    JetPack((35, 1), "5.0.2", "3.8", "8.4", "2.8.0+nv22.4", "yes"),
    JetPack((35, 2), "5.1", "3.8", "8.5", "2.12.0+nv23.06", "yes"),
    JetPack((36, 2), "6.0", "3.10", "8.6", "2.16.1+nv24.07", "yes"),
    JetPack((36, 4), "6.1 or 6.2", "3.10", "10.3", "2.16.1+nv24.08", "perhaps, never tried"),
    JetPack((38, 2), "7.0 or 7.1", "3.12", "10.13", "none", "no"),
    JetPack((39, 0), "7.2", "3.12", "10.16", "none", "no"),
)


def l4t_release(root: Path = ROOT):
    """(36, 4, 3) for L4T 36.4.3 from /etc/nv_tegra_release, None where this is no Jetson."""
    words = _read(root / "etc/nv_tegra_release")
    found = re.search(r"R(\d+) \(release\), REVISION: (\d+)(?:\.(\d+))?", words)
    return tuple(int(number or 0) for number in found.groups()) if found else None


def jetpack(release):
    """The row of MATRIX for an L4T release as l4t_release gives it, None where it is not known."""
    if release is None:
        return None
    rows = [row for row in MATRIX if row.l4t <= release and row.l4t[0] == release[0]]
    return rows[-1] if rows else None


def matrix_note(root: Path = ROOT) -> str:
    """What this machine's row of the matrix says of TensorFlow and TensorRT, in one sentence; "" off a Jetson."""
    release = l4t_release(root)
    if release is None:
        return ""
    words, row = "L4T " + ".".join(str(number) for number in release), jetpack(release)
    if row is None:
        return f"{words} is a release that this project does not know"
    return (
        f"{words} is JetPack {row.name}: Python {row.python}, TensorRT {row.tensorrt},"
        f" NVIDIA's last TensorFlow {row.tensorflow}, TensorRT through TensorFlow: {row.tf_trt}"
        + ("" if row.tf_trt == "yes" else " (pipeline.py --onnx writes what TensorRT itself takes)")
    )


def device_name(root: Path = ROOT) -> str:
    """The board's own name, such as 'NVIDIA Jetson Orin Nano Developer Kit'; on other machines the processor's."""
    board = _read(root / "proc/device-tree/model").strip("\0 \n")
    if board:
        return board
    found = re.search(r"^model name\s*:\s*(.+)$", _read(root / "proc/cpuinfo"), re.MULTILINE)
    return found.group(1).strip() if found else f"{platform.system()} {platform.machine()}"


def origin(command: str) -> dict:
    """What belongs beside figures: {"command", "machine"}, the second with its packages' versions."""
    versions = ", ".join(f"{name} {_version(name)}" for name in ("tensorflow", "numpy", "opencv-python"))
    words = f"{device_name()}, {os.cpu_count()} cores; Python {platform.python_version()}, {versions}"
    return {"command": command, "machine": words}


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "of the system"


def power_mode(command=("nvpmodel", "-q")):
    """The power mode of a Jetson, such as '15W' or 'MAXN', None where there is none. Takes 5 seconds at most."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"NV Power Mode:\s*(?:MODE_)?(\S+)", done.stdout)
    return found.group(1) if found else None


def memory(root: Path = ROOT):
    """{"free", "total", "swap"} in GB, where `free` counts what can be freed and `swap` what is free; None unknown."""
    found = dict(re.findall(r"^(\w+):\s+(\d+) kB$", _read(root / "proc/meminfo"), re.MULTILINE))
    names = {"free": "MemAvailable", "total": "MemTotal", "swap": "SwapFree"}
    if not all(name in found for name in names.values()):
        return None
    return {key: int(found[name]) / 2**20 for key, name in names.items()}


def memory_words(root: Path = ROOT) -> str:
    """'3.1 of 7.4 GB free, 3.7 GB of swap', with advice where building engines may be killed; "" if unknown."""
    sizes = memory(root)
    if sizes is None:
        return ""
    words = f"{sizes['free']:.1f} of {sizes['total']:.1f} GB free, {sizes['swap']:.1f} GB of swap"
    if sizes["free"] + sizes["swap"] < LOW_MEMORY:
        words += (
            "; that is little: if the conversion is killed, add 4 GB of swap (sudo fallocate -l 4G /swapfile, chmod"
            " 600, mkswap, swapon), end the desktop (sudo systemctl isolate multi-user.target) or lower --workspace"
        )
    return words


def protobuf_note() -> str:
    """A sentence where protobuf runs in pure Python, with which a model loads for minutes instead of seconds; or ""."""
    try:
        from google.protobuf.internal import api_implementation

        kind = api_implementation.Type()
    except (ImportError, AttributeError):
        return ""
    if kind != "python":
        return ""
    return (
        "protobuf runs in pure Python here, with which large models load for minutes: unset"
        " PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION, or install one with its compiled part (pip install -U protobuf)"
    )


def introduce(root: Path = ROOT) -> list:
    """Lines for the start of a script that converts: which machine, and what of it may spoil the work."""
    mode = power_mode()
    words = [device_name(root), matrix_note(root), f"power mode {mode}" if mode else "", memory_words(root)]
    lines = ["device: " + "; ".join(word for word in words if word)]
    return lines + [f"note: {protobuf_note()}"] if protobuf_note() else lines


def enable_memory_growth() -> None:
    """Lets TensorFlow take GPU memory as it needs it, instead of all of it at the start.

    Other processes keep their share; on a Jetson the GPU's memory is the system's. Call it before the first use of the
    GPU. It is the only function of this module that imports TensorFlow.
    """
    import tensorflow as tf

    for device in tf.config.list_physical_devices("GPU"):
        try:
            tf.config.experimental.set_memory_growth(device, True)
        except RuntimeError:  # the GPU is already in use: too late, and harmless
            pass


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
