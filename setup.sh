#!/usr/bin/env bash
# Installs and downloads what the other scripts need, if it is missing. It is safe to run again at any time.
#
#   bash setup.sh                      all parts except dev and reid; on a Jetson also without imagenet
#   bash setup.sh python detector      only these parts
#
# python    .venv with requirements.txt (about 2 GB; with CUDA if nvidia-smi works). On a Jetson nothing is installed:
#           its own TensorFlow and OpenCV are checked, because those of pip cannot use its GPU and cameras.
# dev       requirements-dev.txt in the same .venv, for run_tests.sh
# detector  the SSD person detector             -> models/downloads/detector
# footage   a video of people, 80 seconds       -> models/downloads/vtest.avi
# imagenet  ImageNet weights of ResNet-50       -> the cache of Keras
# reid      a published re-id net, 107 MB       -> models/downloads/reid; only where it is named
#
# Prints one line per part. A part that cannot be downloaded is not an error: its line says what to do by hand. If Python
# packages cannot be installed, the other parts are still set up, and the exit code is 2.
# PYTHON=/path/to/python3.x selects the interpreter for .venv.
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@"  # sh setup.sh
[[ $(<"$0") != *$'\r'* ]] || { echo "error: $0 has the line ends of Windows: dos2unix $0 removes them" >&2; exit 2; } #
[ ! -L "$0" ] || exec bash "$(readlink -f "$0")" "$@"  # called through a link
set -euo pipefail
cd "$(dirname "$0")"

tegra_release=${TEGRA_RELEASE:-/etc/nv_tegra_release}
device_tree=${DEVICE_TREE:-/proc/device-tree}

fail() {
    echo "error: $*" >&2
    exit 2
}

# Prints the first interpreter that TensorFlow has packages for: 3.8 to 3.13.
find_python() {
    local candidate
    for candidate in ${PYTHON:+"$PYTHON"} python3 python3.12 python3.11 python3.10 python3.13 python3.9 python3.8; do
        if "$candidate" -c 'import sys; sys.exit(not (3, 8) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    fail "no Python from 3.8 to 3.13 found, which TensorFlow needs: install one, or run PYTHON=/path/to/python3.x bash setup.sh"
}

# install_into_venv PART FILE STAMP: runs pip, unless it has succeeded with the same FILE and the same kind of machine (GPU or not).
install_into_venv() {
    local part=$1 file=$2 stamp=.venv/$3 wanted found
    wanted=$(cat "$file")
    if [ "$part" = python ] && nvidia-smi >/dev/null 2>&1; then
        wanted=${wanted/tensorflow>/tensorflow[and-cuda]>}
    fi
    if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then
        echo "$part: there already (.venv, $file)"
        return
    fi
    echo "$part: installing $file into .venv, this can take minutes ..." >&2
    printf '%s\n' "$wanted" >.venv/.requirements
    .venv/bin/python -m pip install -qq --disable-pip-version-check --requirement .venv/.requirements ||
        fail "pip could not install $file (its messages are above): check the network, and that 3 GB of disk are free"
    mv .venv/.requirements "$stamp"
    found=$(.venv/bin/python -c 'import sys; print("Python %d.%d" % sys.version_info[:2])')
    echo "$part: installed $file into .venv ($found)"
}

make_venv() {
    local python
    if [ -x .venv/bin/python ] && .venv/bin/python -m pip --version >/dev/null 2>&1; then
        return
    fi
    python=$(find_python) || exit 2
    "$python" -m venv --clear .venv >/dev/null 2>&1 || {
        rm -rf .venv
        fail "$python cannot make a virtual environment: install its venv module (on Debian and Ubuntu: sudo apt install python3-venv)"
    }
}

check_jetson() {
    python3 - <<'END' || fail "on a Jetson this project uses the system's TensorFlow or TensorRT, and its OpenCV: install what is missing, then run setup.sh again"
import importlib.util, os, sys
if sys.version_info < (3, 8):
    print("python: Python %d.%d is too old, this project needs 3.8: install JetPack 5 or 6" % sys.version_info[:2])
    sys.exit(1)
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
from utils.device import describe_jetpack
remedies = {
    "tensorflow": "install NVIDIA's wheel for this JetPack (%s)" % (describe_jetpack() or "see docs/jetson.md"),
    "tensorrt": "sudo apt install python3-libnvinfer",
    "cv2": "sudo apt install python3-opencv, or JetPack's nvidia-opencv; not pip's, which has no GStreamer and cannot open CSI cameras",
    "numpy": "sudo apt install python3-numpy",
}
found = []
missing = []
for name, remedy in remedies.items():
    try:
        module = __import__(name)
        found.append("%s %s" % (name, module.__version__))
        if name == "cv2" and "GStreamer:                   YES" not in module.getBuildInformation():
            found.append("without GStreamer, so CSI cameras cannot be opened: " + remedy)
    except Exception as error:
        if name == "tensorflow" and importlib.util.find_spec("tensorrt"):
            found.append("no TensorFlow, so models come as ONNX: see docs/jetson.md")
            continue
        if name == "tensorrt" and "tensorflow" in sys.modules:
            continue
        missing.append("%s is missing (%s): %s" % (name, str(error).splitlines()[0], remedy))
print("python: the Jetson's own Python %d.%d" % sys.version_info[:2] + "".join(", " + text for text in found + missing))
sys.exit(bool(missing))
END
}

# Containers may lack the release file, but not the name of the chip.
on_jetson() {
    local -a chips=()
    [ -f "$tegra_release" ] && return
    [ -r "$device_tree/compatible" ] && mapfile -d '' -t chips <"$device_tree/compatible"
    [[ " ${chips[*]} " == *nvidia,tegra* ]]
}

set_up_python() {
    if on_jetson; then
        check_jetson
    else
        make_venv
        install_into_venv python requirements.txt requirements.stamp
    fi
}

set_up_dev() {
    if on_jetson; then
        echo "dev: not installed on a Jetson"
    else
        make_venv
        install_into_venv dev requirements-dev.txt requirements-dev.stamp
    fi
}

usage() { sed -n '2,/^set -/{/^set -/!s/^# \{0,1\}//p}' setup.sh; }

parts=("$@")
if [ $# -eq 0 ]; then
    parts=(python detector footage)
    on_jetson || parts+=(imagenet) # a Jetson runs models and does not train them
fi
downloads=()
status=0
for part in "${parts[@]}"; do
    case $part in
        python | dev) ;;
        detector | footage | imagenet | reid) downloads+=("$part") ;;
        -h | --help) usage && exit ;;
        *) fail "unknown part '$part': give any of python dev detector footage imagenet reid" ;;
    esac
done
for part in python dev; do
    if [[ " ${parts[*]} " == *" $part "* ]]; then
        # In a subshell, so that a failure ends this part only; before || a step that fails would not end it.
        set +e
        case $part in
            python) (set -e; set_up_python) ;;
            dev) (set -e; set_up_dev) ;;
        esac
        code=$?
        set -e
        [ "$code" -eq 0 ] || status=2
    fi
done
if [ ${#downloads[@]} -gt 0 ]; then
    python=.venv/bin/python
    [ -x "$python" ] && ! on_jetson || python=python3
    "$python" -m utils.setup.fetch_parts "${downloads[@]}"
fi
exit "$status"
