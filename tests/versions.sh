#!/usr/bin/env bash
# Moves checkpoints between TensorFlow versions, both ways: 2.12 (Keras 2, JetPack 5) <-> 2.21 and 2.17 (Keras 3, JetPack 6) <-> 2.21.
#
#   bash tests/versions.sh                makes one environment a version below .versions (about 1 GB each), then takes seconds
#
# Needs a Python from 3.8 to 3.11 for TensorFlow 2.12 and one from 3.10 to 3.13 for 2.21; 3.10 and 3.11 do for all.
set -euo pipefail
cd "$(dirname "$0")/.."

find_python() {
  for candidate in python3 python3.11 python3.10; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 10), (3, 11)))' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  echo "error: none of python3, python3.11, python3.10 is a Python 3.10 or 3.11: install one" >&2
  exit 2
}

python=$(find_python)
for version in 2.12.1 2.17.1 2.21.0; do
  folder=.versions/$version
  if [ ! -f "$folder/complete" ]; then
    echo "installing TensorFlow $version into $folder ..."
    "$python" -m venv --clear "$folder"
    "$folder/bin/python" -m pip install --quiet --disable-pip-version-check "tensorflow-cpu==$version"
    touch "$folder/complete"
  fi
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for pair in "2.12.1 2.21.0" "2.21.0 2.12.1" "2.17.1 2.21.0" "2.21.0 2.17.1"; do
  read -r writer reader <<<"$pair"
  mkdir -p "$work/$writer-$reader"
  ".versions/$writer/bin/python" tests/versions.py write "$work/$writer-$reader" 2>>"$work/log" || { cat "$work/log" >&2; exit 1; }
  ".versions/$reader/bin/python" tests/versions.py check "$work/$writer-$reader" 2>>"$work/log" || { cat "$work/log" >&2; exit 1; }
done
echo "checkpoints move between all of them"
