#!/usr/bin/env bash
# Moves checkpoints between TensorFlow versions, both ways: 2.12 (Keras 2, JetPack 5) <-> 2.21 and 2.17 (Keras 3, JetPack 6) <-> 2.21.
#
#   bash tests/versions.sh                the first time makes one environment per version in .versions (about 1 GB each)
#
# Python 3.10 or 3.11 can run all three. A version that no installed Python can run is skipped with a note.
set -euo pipefail
cd "$(dirname "$0")/.."

# find_python LOWEST HIGHEST: prints an interpreter from 3.LOWEST to 3.HIGHEST, nothing if there is none.
find_python() {
  local candidate
  for candidate in python3 python3.11 python3.10 python3.12 python3.9; do
    if "$candidate" -c "import sys; sys.exit(not (3, $1) <= sys.version_info[:2] <= (3, $2))" 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
}

# install VERSION LOWEST HIGHEST: makes the environment; TensorFlow has packages for Python 3.LOWEST to 3.HIGHEST.
install() {
  local version=$1 folder=.versions/$1 python
  [ -f "$folder/complete" ] && return
  python=$(find_python "$2" "$3")
  if [ -z "$python" ]; then
    echo "note: TensorFlow $version is skipped: no Python from 3.$2 to 3.$3 is installed"
    return
  fi
  echo "installing TensorFlow $version into $folder ..."
  "$python" -m venv --clear "$folder"
  "$folder/bin/python" -m pip install --quiet --disable-pip-version-check "tensorflow-cpu==$version"
  touch "$folder/complete"
}

install 2.12.1 8 11
install 2.17.1 9 12
install 2.21.0 10 13

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for pair in "2.12.1 2.21.0" "2.21.0 2.12.1" "2.17.1 2.21.0" "2.21.0 2.17.1"; do
  read -r writer reader <<<"$pair"
  [ -f ".versions/$writer/complete" ] && [ -f ".versions/$reader/complete" ] || continue
  mkdir -p "$work/$writer-$reader"
  ".versions/$writer/bin/python" -m tests.versions write "$work/$writer-$reader" 2>>"$work/log" || { cat "$work/log" >&2; exit 1; }
  ".versions/$reader/bin/python" -m tests.versions check "$work/$writer-$reader" 2>>"$work/log" || { cat "$work/log" >&2; exit 1; }
done
echo "checkpoints move between all installed versions"
