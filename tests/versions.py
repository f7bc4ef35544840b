"""Writes or checks a re-id checkpoint with whichever TensorFlow runs this; tests/versions.sh runs it with several.

    python3 tests/versions.py write FOLDER     a network with random weights, and what it makes of some pictures
    python3 tests/versions.py check FOLDER     reads that network and compares what it makes of the same pictures
"""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from utils import checkpoint, resnet  # noqa: E402

SIZE, WIDTH, EMBEDDING_SIZE = (128, 64), 0.25, 256
TOLERANCE = 1e-4  # of an embedding's numbers, which are at most 1: kernels differ between versions, weights must not


def main(action, folder):
    import tensorflow as tf

    images = np.random.default_rng(0).integers(0, 256, (4, *SIZE, 3), dtype=np.uint8)
    prefix, expected = Path(folder) / "reid_model-200.ckpt", Path(folder) / "embeddings.npy"
    if action == "write":
        net = resnet.build_embedding_net(SIZE, WIDTH, EMBEDDING_SIZE)
        rng = np.random.default_rng(1)
        net.set_weights([weight + rng.uniform(0, 0.1, weight.shape) for weight in net.get_weights()])  # BatchNorm's as well
        checkpoint.save_weights(net, prefix, {"image_size": list(SIZE)})
        np.save(expected, net(images, training=False).numpy())
        print(f"TensorFlow {tf.__version__} wrote {len(net.get_weights())} weights")
    else:
        net, _ = checkpoint.load_embedding_net(prefix)
        difference = np.abs(net(images, training=False).numpy() - np.load(expected)).max()
        print(f"TensorFlow {tf.__version__} read them: embeddings differ by at most {difference:.1e}")
        if not difference < TOLERANCE:
            sys.exit(f"error: more than {TOLERANCE}")


if __name__ == "__main__":
    main(*sys.argv[1:])
