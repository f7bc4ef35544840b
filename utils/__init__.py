"""What the scripts share; no module in here knows a script or reads an option from anywhere but its arguments."""

import os

# Before TensorFlow is imported, or they come too late: oneDNN's kernels are off by default on CPUs without AVX512-VNNI,
# where they make a training step 1.4 to 3.5 times faster; the log keeps warnings and errors and drops the start-up
# chatter.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
