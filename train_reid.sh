#!/usr/bin/env bash
# Retrains an ID model with triplet loss and offline batch-hard mining.
#
#   bash train_reid.sh                    with the values below; set id_model first
#   bash train_reid.sh --margin=0.3       options after the name override them; --help lists all options
#
# Writes models/reid/m<N>/reid_model-<step>.ckpt. To watch it: cd models; tensorboard --logdir=.
# The values are meant for Market-1501 on one GPU; the duration and the result there have not been measured.
# Image size, width and the held-out identities (val_identities) are those of the ID model.
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@"  # sh train_reid.sh
[[ $(<"$0") != *$'\r'* ]] || { echo "error: $0 has the line ends of Windows: dos2unix $0 removes them" >&2; exit 2; } #
[ ! -L "$0" ] || exec bash "$(readlink -f "$0")" "$@"  # called through a link
set -euo pipefail
cd "$(dirname "$0")"

restore=False                             # True resumes models/reid/m$id; False starts a new run in the next free m<N>
id=0                                      # number of the run to resume
recipe=default                            # original takes the values of the original page, see below
id_model=models/id/m0                     # a run (its suggested step) or a checkpoint: models/id/m1/model.ckpt-1500
data_dir=(data/Market-1501-v15.09.15)     # folder that contains bounding_box_train; several: (data/first data/second)
id_weight=1                               # factor on the cross-entropy over identities; 0 is triplet loss alone
margin=0.3                                # how much more similar the positive must be than the negative
batch_size=24                             # triplets per step, three images each
k=16                                      # steps between two minings
num_images=5000                           # N, images embedded in each mining
sample_num=0.005                          # hardest pairs from which positive and negative are drawn: a share of N
embedding_size=2048                       # length of an embedding
num_steps=25000                           # steps in total
learning_rate=0.00035                     # highest learning rate of Adam
warmup_steps=500                          # steps in which it rises from 0
decay_start=15000                         # step from which it falls along a cosine
weight_decay=0.0005                       # factor on half the sum of squared kernel weights
save_every=200                            # steps between two checkpoints
keep=5                                    # number of newest checkpoints to keep

[[ " $*" != *" --data_dir"* ]] || data_dir=()  # an option after the name replaces it, as it does all others

case $recipe in
  default) ;;
  original)
    id_weight=0
    margin=0.1
    learning_rate=0.0001
    weight_decay=0
    ;;
  *) echo "error: recipe=$recipe in train_reid.sh is neither default nor original" >&2 && exit 2 ;;
esac

python=.venv/bin/python
[ -x "$python" ] || python=python3

exec "$python" train_reid.py \
  --restore="$restore" \
  --id="$id" \
  --id_model="$id_model" \
  ${data_dir[@]+"${data_dir[@]/#/--data_dir=}"} \
  --id_weight="$id_weight" \
  --margin="$margin" \
  --batch_size="$batch_size" \
  --k="$k" \
  --num_images="$num_images" \
  --sample_num="$sample_num" \
  --embedding_size="$embedding_size" \
  --num_steps="$num_steps" \
  --learning_rate="$learning_rate" \
  --warmup_steps="$warmup_steps" \
  --decay_start="$decay_start" \
  --weight_decay="$weight_decay" \
  --save_every="$save_every" \
  --keep="$keep" \
  "$@"
