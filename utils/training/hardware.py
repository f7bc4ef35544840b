"""How TensorFlow computes in a training: precision, determinism, and a line that says on what."""

from __future__ import annotations

import tensorflow as tf

from utils.device import compute_device, enable_memory_growth, has_nvidia_gpu


def prepare(seed: int, precision: str, deterministic: bool) -> None:
    """Sets up TensorFlow before any network is built.

    precision: 'float32' or 'mixed_bfloat16', of tf.keras.mixed_precision; deterministic: whether equal seeds must give
    equal weights to the last bit. Prints what the training runs on.
    """
    enable_memory_growth()
    tf.keras.utils.set_random_seed(seed)
    tf.keras.mixed_precision.set_global_policy(precision)
    if deterministic:
        tf.config.experimental.enable_op_determinism()
    device = compute_device()
    print(f"training on: {device}", flush=True)
    if device.startswith("CPU") and has_nvidia_gpu():
        print("note: there is an NVIDIA GPU that this TensorFlow cannot use: run bash setup.sh python again")
