#!/usr/bin/env bash
# Measures rank-1 to rank-20, mAP and mINP of a model on identities it never saw.
#
#   bash test_reid.sh                     with the values below
#   bash test_reid.sh --model=models/reid/m1/reid_model-200.ckpt
#   bash test_reid.sh --ranked=worst.png  draws the worst queries with their ranked results
#   bash test_reid.sh --model models/frozen/reid       a frozen model beside its checkpoint
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@"  # sh test_reid.sh
[[ $(<"$0") != *$'\r'* ]] || { echo "error: $0 has the line ends of Windows: dos2unix $0 removes them" >&2; exit 2; } #
[ ! -L "$0" ] || exec bash "$(readlink -f "$0")" "$@"  # called through a link
set -euo pipefail
cd "$(dirname "$0")"

model=newest                              # newest in models/reid, a run folder (its suggested step), a checkpoint,
                                          # or the folder of a frozen re-id model
data_dir=data/Market-1501-v15.09.15       # holds bounding_box_test and bounding_box_query
threshold=                                # far1, far0.1 or eer also measures the similarity from which two images
                                          # show one person: at 1 % or 0.1 % false accepts, or equal error rate

python=.venv/bin/python
[ -x "$python" ] || python=python3

exec "$python" test_reid.py \
  --model="$model" \
  --data_dir="$data_dir" \
  ${threshold:+--threshold="$threshold"} \
  "$@"
