#!/usr/bin/env bash
# Runs lint and all tests, after installing what is missing.
#
#   bash run_tests.sh                     about four minutes on two CPU cores; longer the first time, for the installation
#   bash run_tests.sh -k mining           some tests: options go to pytest
#   bash run_tests.sh -n 0 -x             in one process, up to the first failure
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@"  # sh run_tests.sh
[[ $(<"$0") != *$'\r'* ]] || { echo "error: $0 has the line ends of Windows: dos2unix $0 removes them" >&2; exit 2; } #
[ ! -L "$0" ] || exec bash "$(readlink -f "$0")" "$@"  # called through a link
set -euo pipefail
cd "$(dirname "$0")"

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
