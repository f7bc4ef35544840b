#!/usr/bin/env bash
# Runs all steps on drawn people and then on real footage: draw, train ID, train re-id, test, freeze, demo.
#
#   bash quick_run.sh                     needs only Python; sets up what is missing
#   bash quick_run.sh --seed=1            with other people, initial weights and order
#
# Takes about 5 minutes on two CPU cores after the downloads. Prints a table at the end and writes its figures to
# models/quick_run.json: rank-1 is about 5 % untrained, 58 % after ID and 72 % after re-id training (README.md).
# All other files are written to data/quick_run and models/quick_run; other models are left unchanged.
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@"  # sh quick_run.sh
[[ $(<"$0") != *$'\r'* ]] || { echo "error: $0 has the line ends of Windows: dos2unix $0 removes them" >&2; exit 2; } #
[ ! -L "$0" ] || exec bash "$(readlink -f "$0")" "$@"  # called through a link
set -euo pipefail
cd "$(dirname "$0")"

identities=700                            # identities drawn for training; 60 others are drawn for testing
single_camera_share=0.65                  # share of those that a single camera sees
image_size=96x48                          # pixels; people in the footage are about as large
width=0.25                                # a quarter of ResNet-50's filters
val_identities=50                         # identities that both trainings hold out for validation
pad=5                                     # pixels of padding before a random crop

id_steps=800
id_batch_size=64
id_learning_rate=0.004
id_warmup_steps=60
id_random_erasing=0.2                     # share of images partly erased; small, because the training is short

reid_steps=400
reid_embedding_size=512                   # as many as the network's features
reid_batch_size=16                        # triplets per step
reid_k=28                                 # steps between two minings
reid_num_images=1536                      # images embedded in each mining
reid_sample_num=0.005                     # hardest pairs to draw from: a share of those images
reid_margin=0.3
reid_learning_rate=0.0008
reid_warmup_steps=20
reid_decay_start=100
reid_random_erasing=0

data_dir=data/quick_run
models_dir=models/quick_run
SECONDS=0

case ${1:-} in
  "") seed=0 ;;
  --seed=*) seed=${1#--seed=} ;;
  -h | --help) sed -n '2,/^set -/{/^set -/!s/^# \{0,1\}//p}' quick_run.sh && exit ;;
  *)
    echo "error: quick_run.sh has no option $1: use --seed=NUMBER, or edit the values at the top of the file" >&2
    exit 2
    ;;
esac
# A training ends normally after Ctrl-C; without this trap the next step would start.
trap 'exit 130' INT TERM

bash setup.sh python detector footage
python=.venv/bin/python
[ -x "$python" ] || python=python3

step() {
  printf '\n== %s (%d s so far)\n' "$1" "$SECONDS"
}

# Both trainings print a note about identities that a single camera sees.
explain_note() {
  echo "a single camera sees many of the identities on purpose (single_camera_share=$single_camera_share):" \
    "expect a note about it below"
}

step "1/6 drawing people"
"$python" data/sample.py --output "$data_dir" --identities "$identities" \
  --single_camera_share "$single_camera_share" \
  --image_size "$image_size" --seed "$seed"
rm -rf "$models_dir" models/quick_run.json  # of the previous quick run

step "2/6 training the ID model"
explain_note
"$python" train_id.py \
  --models_dir="$models_dir" \
  --data_dir="$data_dir" \
  --pretrained=none \
  --image_size="$image_size" \
  --width="$width" \
  --val_identities="$val_identities" \
  --batch_size="$id_batch_size" \
  --num_steps="$id_steps" \
  --save_every=200 \
  --learning_rate="$id_learning_rate" \
  --warmup_steps="$id_warmup_steps" \
  --pad="$pad" \
  --random_erasing="$id_random_erasing" \
  --seed="$seed"

step "3/6 training the re-id model"
explain_note
"$python" train_reid.py \
  --models_dir="$models_dir" \
  --data_dir="$data_dir" \
  --id_model="$models_dir/id/m0" \
  --margin="$reid_margin" \
  --batch_size="$reid_batch_size" \
  --k="$reid_k" \
  --num_images="$reid_num_images" \
  --sample_num="$reid_sample_num" \
  --embedding_size="$reid_embedding_size" \
  --num_steps="$reid_steps" \
  --save_every=200 \
  --learning_rate="$reid_learning_rate" \
  --warmup_steps="$reid_warmup_steps" \
  --decay_start="$reid_decay_start" \
  --pad="$pad" \
  --random_erasing="$reid_random_erasing" \
  --seed="$seed"

step "4/6 testing on held-out identities"
test_reid() {
  "$python" test_reid.py --data_dir="$data_dir" "$@"
}
test_reid --model="$models_dir/id/m0" --untrained --json="$models_dir/untrained.json"
test_reid --model="$models_dir/id/m0" --json="$models_dir/id.json"
test_reid --model="$models_dir/reid/m0" --threshold --ranked="$models_dir/worst.png" --json="$models_dir/reid.json"

step "5/6 freezing detector and re-id model"
parts=(obj)
if [ ! -d models/downloads/detector/saved_model ]; then
  echo "the detector could not be fetched (see above): only the re-id model is frozen, and the demo is skipped"
  parts=()
fi
"$python" pipeline.py "${parts[@]}" "$models_dir/reid/m0" --output="$models_dir/frozen" ||
  echo "not everything could be frozen (see above): the steps that need it are skipped"

step "6/6 recognising people in real footage"
if [ -d "$models_dir/frozen/obj" ] && [ -d "$models_dir/frozen/reid" ] && [ -f models/downloads/vtest.avi ]; then
  "$python" demo.py \
    --source=models/downloads/vtest.avi \
    --detector="$models_dir/frozen/obj" \
    --reid="$models_dir/frozen/reid" \
    --output="$models_dir/demo.mp4" \
    --tracks="$models_dir/tracks.txt" \
    --summary="$models_dir/demo.json" \
    --headless || echo "the demo failed (see above): the table has no figures of it"
else
  echo "detector, footage or a frozen model is missing (see above): the demo is skipped"
fi

"$python" -m benchmarks.quick_run_table --folder="$models_dir" --json=models/quick_run.json --seconds="$SECONDS"

printf '\nnext:\n'
if [ -d "$models_dir/frozen/obj" ] && [ -d "$models_dir/frozen/reid" ] && [ -f models/downloads/vtest.avi ]; then
  echo "  $python demo.py --detector $models_dir/frozen/obj --reid $models_dir/frozen/reid --source models/downloads/vtest.avi --output people.mp4"
  echo "      the demo with these models; --source 0 uses a camera"
fi
echo "  bash test_reid.sh --model=$models_dir/reid/m0 --data_dir=$data_dir"
echo "      the test again, with further options; --help lists them"
echo "  $python pipeline.py ${parts[*]}${parts:+ }$models_dir/reid/m0"
echo "      freezes the models to models/frozen, the default of demo.py"
