"""Describes this machine: its name, GPU, JetPack release, power mode and free memory.

On a Jetson the same problems come up again and again: a TensorFlow without TensorRT, a conversion that is killed for
lack of memory, models that take minutes to load, a board in its low power mode. The scripts print what can be seen of
them in advance. Importing this module does not import TensorFlow. No function raises if a file or a command is missing.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import subprocess
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

ROOT = Path("/")
TEGRA_RELEASE = "etc/nv_tegra_release"  # below the root; only NVIDIA's Linux for Tegra has it
COMPATIBLE = "proc/device-tree/compatible"  # names the chip, in containers too, which may lack the file above
POWER_MODES = "etc/nvpmodel.conf"
COMMAND_SECONDS = 5  # time limit of a command that should answer at once
LOW_MEMORY = 2.0  # GB of memory and swap together; with less, building engines is often killed


class JetPack(NamedTuple):
    """One JetPack release.

    l4t: the lowest release of Linux for Tegra (L4T) that it covers; name, python, tensorrt: as NVIDIA ships it;
    tensorflow: the last version that NVIDIA built for it, or "none"; tf_trt: whether that one can use TensorRT.
    """

    l4t: tuple
    name: str
    python: str
    tensorrt: str
    tensorflow: str
    tf_trt: str


# Sources: NVIDIA's release pages and package index; L4T numbers as in rbonghi/jetson_stats. In ascending order.
# A test compares this table with the one in the documentation.
MATRIX = (
    JetPack((32, 6), "4.6", "3.6", "8.0", "2.7.0+nv22.1", "yes"),
    JetPack((32, 7), "4.6.1 to 4.6.6", "3.6", "8.2", "2.7.0+nv22.1", "yes"),
    JetPack((35, 1), "5.0.2", "3.8", "8.4", "unknown", "no, update to JetPack 5.1"),
    JetPack((35, 2), "5.1", "3.8", "8.5", "2.12.0+nv23.06", "expected, not tested"),
    JetPack((36, 2), "6.0", "3.10", "8.6", "2.16.1+nv24.07", "perhaps, not tested"),
    JetPack((36, 4), "6.1 or 6.2", "3.10", "10.3", "2.16.1+nv24.08", "perhaps, not tested"),
    JetPack((38, 2), "7.0 or 7.1", "3.12", "10.13", "none", "no"),
    JetPack((39, 0), "7.2", "3.12", "10.16", "none", "no"),
)


# ---- Jetson ----


def is_jetson(root: Path = ROOT) -> bool:
    """Returns whether this machine is a Jetson: it runs NVIDIA's Linux for Tegra, also in a container."""
    return (root / TEGRA_RELEASE).exists() or "nvidia,tegra" in _read(root / COMPATIBLE)


def l4t_release(root: Path = ROOT):
    """Returns the L4T release from /etc/nv_tegra_release, such as (36, 4, 3); None if this is not a Jetson."""
    content = _read(root / TEGRA_RELEASE)
    found = re.search(r"R(\d+) \(release\), REVISION: (\d+)(?:\.(\d+))?", content)
    return tuple(int(number or 0) for number in found.groups()) if found else None


def jetpack(release):
    """Returns the row of MATRIX for a release from l4t_release, or None if it is not in the table."""
    if release is None:
        return None
    rows = [row for row in MATRIX if row.l4t <= release and row.l4t[0] == release[0]]
    return rows[-1] if rows else None


def describe_jetpack(root: Path = ROOT) -> str:
    """One sentence about the JetPack release of this machine; "" if it is not a Jetson."""
    release = l4t_release(root)
    if release is None:
        return ""
    l4t = "L4T " + ".".join(str(number) for number in release)
    row = jetpack(release)
    if row is None:
        return f"{l4t} is a release that this project does not know"
    sentence = (
        f"{l4t} is JetPack {row.name}: Python {row.python}, TensorRT {row.tensorrt},"
        f" NVIDIA's last TensorFlow {row.tensorflow}, TensorRT through TensorFlow: {row.tf_trt}"
    )
    if row.tf_trt != "yes":
        sentence += " (without TensorFlow, pipeline.py takes the folder that --onnx wrote on a desktop)"
    return sentence


def power_mode(command=("nvpmodel", "-q")):
    """Returns the power mode of a Jetson, such as '15W' or 'MAXN'; None if there is none. Takes 5 seconds at most."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"NV Power Mode:\s*(?:MODE_)?(\S+)", done.stdout)
    return found.group(1) if found else None


def full_speed(mode, root: Path = ROOT) -> str:
    """The command for the unlimited power mode, as /etc/nvpmodel.conf numbers it; "" if `mode` is that or none exists.

    The number differs from module to module: 0 is MAXN on one, 15 W on another.
    """
    found = re.findall(r"<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=(?:MODE_)?(\S+)\s*>", _read(root / POWER_MODES))
    unlimited = [(name, number) for number, name in found if name.startswith("MAXN")]
    if not unlimited:
        return ""
    name, number = max(unlimited)  # MAXN_SUPER before MAXN
    return "" if name == mode else f"sudo nvpmodel -m {number} ({name})"


# ---- any machine ----


def device_name(root: Path = ROOT) -> str:
    """Returns the name of the board, such as 'NVIDIA Jetson Orin Nano Developer Kit', or else of the processor."""
    board = _read(root / "proc/device-tree/model").strip("\0 \n")
    if board:
        return board
    found = re.search(r"^model name\s*:\s*(.+)$", _read(root / "proc/cpuinfo"), re.MULTILINE)
    return found.group(1).strip() if found else f"{platform.system()} {platform.machine()}"


def gpu_name():
    """Returns the name of the first GPU that TensorFlow sees, or None."""
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return None
    return tf.config.experimental.get_device_details(gpus[0]).get("device_name", gpus[0].name)


def compute_device() -> str:
    """Returns what TensorFlow computes on: 'GPU NVIDIA A100', or 'CPU, 8 cores (TensorFlow sees no GPU)'."""
    gpu = gpu_name()
    return f"GPU {gpu}" if gpu else f"CPU, {os.cpu_count()} cores (TensorFlow sees no GPU)"


def has_nvidia_gpu(root: Path = ROOT) -> bool:
    """Returns whether this machine has a GPU of NVIDIA, whether or not TensorFlow can use it."""
    return any((root / name).exists() for name in ("dev/nvidia0", "proc/driver/nvidia/version", TEGRA_RELEASE))


def leave_gpu_to_others() -> None:
    """Keeps TensorFlow in this process off the GPU. Call it before the GPU is first used.

    It never gives memory back, which the processes that build and measure engines need on a board of 4 or 8 GB.
    """
    import tensorflow as tf

    with contextlib.suppress(RuntimeError):  # too late, and harmless
        tf.config.set_visible_devices([], "GPU")


def enable_memory_growth() -> None:
    """Lets TensorFlow allocate GPU memory as needed instead of all at once. Call it before the GPU is first used.

    On a Jetson the GPU shares the memory of the system.
    """
    import tensorflow as tf

    for gpu in tf.config.list_physical_devices("GPU"):
        # RuntimeError: the GPU is already in use. Then it is too late, and harmless.
        with contextlib.suppress(RuntimeError):
            tf.config.experimental.set_memory_growth(gpu, True)


def origin(command: str) -> dict:
    """Returns what is stored beside measured figures: {"command", "machine"}, with the versions of the packages."""
    versions = ", ".join(f"{name} {_version(name)}" for name in ("tensorflow", "numpy", "opencv-python"))
    machine = f"{device_name()}, {os.cpu_count()} cores; Python {platform.python_version()}, {versions}"
    return {"command": command, "machine": machine}


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "of the system"


def memory(root: Path = ROOT):
    """Returns {"free", "total", "swap"} in GB, or None if unknown.

    `free` includes what the system can free at once, `swap` is the free part of the swap space.
    """
    found = dict(re.findall(r"^(\w+):\s+(\d+) kB$", _read(root / "proc/meminfo"), re.MULTILINE))
    names = {"free": "MemAvailable", "total": "MemTotal", "swap": "SwapFree"}
    if not all(name in found for name in names.values()):
        return None
    return {key: int(found[name]) / 2**20 for key, name in names.items()}


def describe_memory(root: Path = ROOT) -> str:
    """'3.1 of 7.4 GB free, 3.7 GB of swap', with advice if that is little; "" if unknown."""
    sizes = memory(root)
    if sizes is None:
        return ""
    sentence = f"{sizes['free']:.1f} of {sizes['total']:.1f} GB free, {sizes['swap']:.1f} GB of swap"
    if sizes["free"] + sizes["swap"] < LOW_MEMORY:
        sentence += (
            "; that is little: if the conversion is killed, add 4 GB of swap (sudo fallocate -l 4G /swapfile, chmod"
            " 600, mkswap, swapon), stop the desktop (sudo systemctl isolate multi-user.target) or lower --workspace"
        )
    return sentence


def describe_protobuf() -> str:
    """A warning if protobuf runs in pure Python, which loads a model in minutes instead of seconds; else ""."""
    try:
        from google.protobuf.internal import api_implementation

        kind = api_implementation.Type()
    except (ImportError, AttributeError):
        return ""
    if kind != "python":
        return ""
    return (
        "protobuf runs in pure Python here and takes minutes to load a large model: unset"
        " PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION, or install the compiled protobuf (pip install -U protobuf)"
    )


def describe_machine(root: Path = ROOT) -> list:
    """Returns lines for the start of a script that converts models: the machine, and what may go wrong on it."""
    mode = power_mode()
    faster = full_speed(mode, root)
    parts = [
        device_name(root),
        describe_jetpack(root),
        (f"power mode {mode}" if mode else "") + (f", full speed: {faster}" if mode and faster else ""),
        describe_memory(root),
    ]
    lines = ["device: " + "; ".join(part for part in parts if part)]
    warning = describe_protobuf()
    if warning:
        lines.append(f"note: {warning}")
    return lines


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
