#!/usr/bin/env bash
# Trains a ResNet-50 to classify the identities of the training set; train_reid.sh starts from the result.
#
#   bash train_id.sh                      with the values below
#   bash train_id.sh --num_steps=20       options after the name override them; --help lists all options
#
# Writes models/id/m<N>/model.ckpt-<step>. To watch it: cd models; tensorboard --logdir=.
# The values are meant for Market-1501 on one GPU; the duration and the result there have not been measured.
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@"  # sh train_id.sh
[[ $(<"$0") != *$'\r'* ]] || { echo "error: $0 has the line ends of Windows: dos2unix $0 removes them" >&2; exit 2; } #
[ ! -L "$0" ] || exec bash "$(readlink -f "$0")" "$@"  # called through a link
set -euo pipefail
cd "$(dirname "$0")"

restore=False                             # True resumes models/id/m$id; False starts a new run in the next free m<N>
id=0                                      # number of the run to resume
recipe=default                            # original takes the values of the original page, see below
data_dir=(data/Market-1501-v15.09.15)     # folder that contains bounding_box_train; several: (data/first data/second)
pretrained=imagenet                       # imagenet, none (random weights), or the path of a checkpoint
val_identities=50                         # identities held out from both trainings for validation; 0 trains on all
image_size=256x128                        # pixels, height first
width=1.0                                 # factor on the number of filters; 0.25 is small enough for a CPU
neck=True                                 # batch normalisation before the classifier; a device does not pay for it
batch_size=64                             # images per step
num_steps=12000                           # steps in total
learning_rate=0.00035                     # highest learning rate of Adam
warmup_steps=2000                         # steps in which it rises from 0; then it falls along a cosine
weight_decay=0.0005                       # factor on half the sum of squared kernel weights
label_smoothing=0.1                       # share of each target that is spread over all identities, 0 to 1
save_every=500                            # steps between two checkpoints
keep=5                                    # number of newest checkpoints to keep

[[ " $*" != *" --data_dir"* ]] || data_dir=()  # an option after the name replaces it, as it does all others

case $recipe in
  default) ;;
  original) neck=False ;;
  *) echo "error: recipe=$recipe in train_id.sh is neither default nor original" >&2 && exit 2 ;;
esac

python=.venv/bin/python
[ -x "$python" ] || python=python3

exec "$python" train_id.py \
  --restore="$restore" \
  --id="$id" \
  ${data_dir[@]+"${data_dir[@]/#/--data_dir=}"} \
  --pretrained="$pretrained" \
  --val_identities="$val_identities" \
  --image_size="$image_size" \
  --width="$width" \
  --neck="$neck" \
  --batch_size="$batch_size" \
  --num_steps="$num_steps" \
  --learning_rate="$learning_rate" \
  --warmup_steps="$warmup_steps" \
  --weight_decay="$weight_decay" \
  --label_smoothing="$label_smoothing" \
  --save_every="$save_every" \
  --keep="$keep" \
  "$@"
