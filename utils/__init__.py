"""The code that the scripts share. No module imports a script, and options arrive as plain arguments."""

import os

# Before TensorFlow is imported, or they come too late: oneDNN's kernels are off by default on CPUs without AVX512-VNNI,
# where they make a training step 1.4 to 3.5 times faster; the log keeps errors and drops the start-up chatter.
# TensorFlow 2.21 still writes a few lines while it is loaded, before it reads any setting, and without a GPU "failed
# call to cuInit", whatever CUDA_VISIBLE_DEVICES is: only level 3 drops that one, and all other errors with it.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
