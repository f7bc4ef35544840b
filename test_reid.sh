#!/usr/bin/env bash
# Measures rank-1 to rank-20, mAP and mINP of a model on people it never saw.
#
#   bash test_reid.sh                     with the values below; set model first
#   bash test_reid.sh --model=models/reid/m1/reid_model-200.ckpt
#   bash test_reid.sh --ranked=worst.png  draws the queries that went worst, with what they found
#   bash test_reid.sh --model models/frozen/reid       what pipeline.py froze, beside the checkpoint it came from
set -euo pipefail
cd "$(dirname "$0")"

model=newest                              # newest below models/reid, a run folder (its suggested step), a checkpoint,
                                          # or the folder of a frozen re-id net
data_dir=data/Market-1501-v15.09.15       # holds bounding_box_test and bounding_box_query
threshold=False                           # True measures from which similarity on two pictures show one person
threshold_at=far1                         # where 1 % of different people pass; or far0.1 (0.1 %), eer (equal errors)

python=.venv/bin/python
[ -x "$python" ] || python=python3

exec "$python" test_reid.py \
  --model="$model" \
  --data_dir="$data_dir" \
  --threshold="$threshold" \
  --threshold_at="$threshold_at" \
  "$@"
