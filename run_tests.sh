#!/usr/bin/env bash
# Runs lint and all tests, after installing what is missing.
#
#   bash run_tests.sh                     about four minutes on two CPU cores; longer the first time, for the installation
#   bash run_tests.sh -k mining           some tests: options go to pytest
#   bash run_tests.sh -n 0 -x             in one process, up to the first failure
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@"  # sh run_tests.sh
! grep -q $'\r' "$0" || { echo "error: $0 has the line ends of Windows: dos2unix $0 removes them" >&2; exit 2; } #
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")"  # also if it is called through a link

bash setup.sh python dev
bin=.venv/bin
if [ ! -x "$bin/ruff" ]; then
  echo "error: the tests need requirements-dev.txt in .venv, which setup.sh does not install on a Jetson: run them on a desktop" >&2
  exit 2
fi
bash setup.sh detector footage

"$bin/ruff" check .
"$bin/ruff" format --check --quiet .
"$bin/shellcheck" ./*.sh tests/*.sh .ci/run
"$bin/vermin" --quiet --no-tips --target=3.8- --violations --eval-annotations ./*.py utils data tests benchmarks assets
# Two processes. A test file stays in one of them, so its shared fixtures are made once.
"$bin/python" -m pytest -n 2 --dist loadfile "$@"
