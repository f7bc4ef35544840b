"""Writes or checks a re-id checkpoint with the TensorFlow that runs this; tests/versions.sh runs it with several.

python3 -m tests.versions write FOLDER     a network with random weights, and its embeddings of some images
python3 -m tests.versions check FOLDER     reads that network and compares its embeddings of the same images
"""

import sys
from pathlib import Path

import numpy as np

from utils import checkpoint, resnet

SIZE = (128, 64)
WIDTH = 0.25
EMBEDDING_SIZE = 256
TOLERANCE = 1e-4  # absolute, of numbers up to 1: computations differ between versions, weights must not


def main(action, folder):
    import tensorflow as tf

    # Blobs of color: white noise would give nearly equal embeddings.
    blobs = np.random.default_rng(0).integers(0, 256, (8, SIZE[0] // 16, SIZE[1] // 16, 3), dtype=np.uint8)
    images = blobs.repeat(16, axis=1).repeat(16, axis=2)  # (8, H, W, 3)
    prefix = Path(folder) / "reid_model-200.ckpt"
    expected = Path(folder) / "embeddings.npy"
    if action == "write":
        net = resnet.build_embedding_net(SIZE, WIDTH, EMBEDDING_SIZE)
        rng = np.random.default_rng(1)
        limits = ((0.3, 0.6), (-0.1, 0.1), (-0.1, 0.1), (0.5, 2))  # of gamma, beta, mean, variance
        for layer in net.layers:
            if layer.name.endswith("_bn"):  # these start as 0 and 1, so that exchanged weights would go unnoticed
                shape = layer.get_weights()[0].shape
                layer.set_weights([rng.uniform(low, high, shape) for low, high in limits])
        embeddings = net(images, training=False).numpy()
        told_apart = embeddings.std(axis=0).max() > 100 * TOLERANCE
        assert told_apart, "a network with the same embedding for every image proves nothing"
        checkpoint.save_weights(net, prefix, {"image_size": list(SIZE)})
        np.save(expected, embeddings)
        print(f"TensorFlow {tf.__version__} wrote {len(net.get_weights())} weights")
    else:
        net, _ = checkpoint.load_embedding_net(prefix)
        difference = np.abs(net(images, training=False).numpy() - np.load(expected)).max()
        print(f"TensorFlow {tf.__version__} read them: embeddings differ by at most {difference:.1e}")
        if not difference < TOLERANCE:
            sys.exit(f"error: more than {TOLERANCE}")


if __name__ == "__main__":
    main(*sys.argv[1:])
