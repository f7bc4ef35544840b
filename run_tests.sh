#!/usr/bin/env bash
# Sets up what is missing, then lint and tests.
#
#   bash run_tests.sh                     everything, a few minutes on two CPU cores
#   bash run_tests.sh -k mining           options after the name go to pytest
set -euo pipefail
cd "$(dirname "$0")"

if [ -f /etc/nv_tegra_release ]; then
  echo "error: the tests need their tools in a .venv, which is not made on a Jetson: run them on a desktop" >&2
  exit 2
fi
bash setup.sh python dev detector footage
bin=.venv/bin

"$bin/ruff" check .
"$bin/ruff" format --check --quiet .
"$bin/shellcheck" ./*.sh tests/*.sh .ci/run
"$bin/vermin" --quiet --no-tips --target=3.8- --violations --eval-annotations ./*.py utils data tests benchmarks assets
"$bin/python" -m pytest "$@"
