#!/usr/bin/env bash
# Trains a ResNet-50 to classify the identities of the training set; train_reid.sh starts from what it learns.
#
#   bash train_id.sh                      with the values below
#   bash train_id.sh --num_steps=20       any option after the name overrides them; --help lists all of them
#
# Result: models/id/m<N>/model.ckpt-<step>. Watch it with: cd models; tensorboard --logdir=.
# The values are meant for Market-1501 on one GPU. How long that takes and how far it comes was not measured.
set -euo pipefail
cd "$(dirname "$0")"

restore=False                             # True goes on with models/id/m$id; False starts the next free m<N>
id=0                                      # number of the run to restore
data_dir=data/Market-1501-v15.09.15       # holds bounding_box_train
pretrained=imagenet                       # imagenet, none (random weights), or the path of a checkpoint
val_identities=50                         # people left out, for both trainings to measure on; 0 trains on all
image_size=256x128                        # pixels, height first
width=1.0                                 # factor on the number of filters; 0.25 trains on a CPU
batch_size=64                             # pictures a step
num_steps=12000                           # steps in all
learning_rate=0.00035                     # highest rate of Adam
warmup_steps=2000                         # steps until that rate is reached; then it falls along a cosine
weight_decay=0.0005                       # factor on half the squared kernels
label_smoothing=0.1                       # share of each target spread over all identities
save_every=500                            # steps between two checkpoints
keep=5                                    # newest checkpoints to keep

python=.venv/bin/python
[ -x "$python" ] || python=python3

exec "$python" train_id.py \
  --restore="$restore" \
  --id="$id" \
  --data_dir="$data_dir" \
  --pretrained="$pretrained" \
  --val_identities="$val_identities" \
  --image_size="$image_size" \
  --width="$width" \
  --batch_size="$batch_size" \
  --num_steps="$num_steps" \
  --learning_rate="$learning_rate" \
  --warmup_steps="$warmup_steps" \
  --weight_decay="$weight_decay" \
  --label_smoothing="$label_smoothing" \
  --save_every="$save_every" \
  --keep="$keep" \
  "$@"
