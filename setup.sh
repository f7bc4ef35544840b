#!/usr/bin/env bash
# Sets up what the other scripts need, and only what is missing; safe to run again at any time.
#
#   bash setup.sh                      everything
#   bash setup.sh python detector      some parts of: python dev detector footage imagenet
#
# python    .venv with requirements.txt (about 2 GB; with CUDA where nvidia-smi answers). On a Jetson nothing is installed:
#           its own TensorFlow and OpenCV are checked instead, since pip's know neither its GPU nor its cameras.
# dev       requirements-dev.txt on top, for run_tests.sh
# detector  the SSD person detector       -> models/downloads/detector
# footage   people walking, 80 seconds    -> models/downloads/vtest.avi
# imagenet  ResNet-50's ImageNet weights  -> Keras' own cache
#
# Prints one line a part. A part that cannot be downloaded does not stop the others and is not an error: its line says
# what that means. Python packages that cannot be installed do not stop the others either, but end in exit code 2.
# PYTHON=/path/to/python3.x names the interpreter that .venv is made with.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

tegra_release=${TEGRA_RELEASE:-/etc/nv_tegra_release}

fail() {
    echo "error: $*" >&2
    exit 2
}

# The first interpreter that TensorFlow has packages for: 3.8 to 3.13.
find_python() {
    local candidate
    for candidate in ${PYTHON:+"$PYTHON"} python3 python3.12 python3.11 python3.10 python3.13 python3.9 python3.8; do
        if "$candidate" -c 'import sys; sys.exit(not (3, 8) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    fail "no Python from 3.8 to 3.13 found, which TensorFlow needs: install one, or name it as PYTHON=/path/to/python3.x bash setup.sh"
}

# install_into_venv PART FILE STAMP: pip runs only if FILE or the kind of machine changed since it last succeeded.
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
    echo "$part: installing $file into .venv, which can take minutes ..." >&2
    printf '%s\n' "$wanted" >.venv/.requirements
    .venv/bin/python -m pip install -qq --disable-pip-version-check --requirement .venv/.requirements ||
        fail "pip could not install $file (its own words stand above): is the network there, and 3 GB of disk?"
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
    python3 - <<'END' || fail "on a Jetson this project runs on the system's TensorFlow and OpenCV: install what is missing, then run setup.sh again"
import os, sys
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
remedies = {
    "tensorflow": "NVIDIA's wheel for this JetPack (5.1: TensorFlow 2.12, 6: 2.16; none exists for JetPack 7: build it, or use a container)",
    "cv2": "sudo apt install python3-opencv, or JetPack's nvidia-opencv; never pip's, which has no GStreamer and so no CSI camera",
    "numpy": "sudo apt install python3-numpy",
}
found, missing = [], []
for name, remedy in remedies.items():
    try:
        module = __import__(name)
        found.append("%s %s" % (name, module.__version__))
        if name == "cv2" and "GStreamer:                   YES" not in module.getBuildInformation():
            found.append("without GStreamer, so CSI cameras do not open: " + remedy)
    except Exception as error:
        missing.append("%s is missing (%s): %s" % (name, str(error).splitlines()[0], remedy))
print("python: the Jetson's own Python %d.%d" % sys.version_info[:2] + "".join(", " + words for words in found + missing))
sys.exit(bool(missing))
END
}

on_jetson() { [ -f "$tegra_release" ]; }

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
        echo "dev: left out on a Jetson"
    else
        make_venv
        install_into_venv dev requirements-dev.txt requirements-dev.stamp
    fi
}

usage() { sed -n '2,/^set -/{/^set -/!s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"; }

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
        detector | footage | imagenet) downloads+=("$part") ;;
        -h | --help) usage && exit ;;
        *) fail "'$part' is no part of the set-up: take any of python dev detector footage imagenet" ;;
    esac
done
for part in python dev; do
    # In a shell of its own, so that a part that fails has said so and the others get their turn.
    if [[ " ${parts[*]} " == *" $part "* ]]; then
        case $part in
            python) (set_up_python) || status=2 ;;
            dev) (set_up_dev) || status=2 ;;
        esac
    fi
done
if [ ${#downloads[@]} -gt 0 ]; then
    python=.venv/bin/python
    [ -x "$python" ] && ! on_jetson || python=python3
    "$python" -m utils.setup.fetch_parts "${downloads[@]}"
fi
exit "$status"
