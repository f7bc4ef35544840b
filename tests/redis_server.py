"""The mark of tests that need a real redis-server (benchmarks/redis_server.py) and the package redis."""

import importlib.util
import shutil

import pytest

needs_redis = pytest.mark.skipif(
    shutil.which("redis-server") is None or importlib.util.find_spec("redis") is None,
    reason="no Redis: apt-get install redis-server, and pip install -r requirements-dev.txt",
)
