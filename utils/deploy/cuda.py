"""Memory of the GPU and its copies through CUDA's driver, libcuda.so.1, which every Jetson has: no further package.

The names of the driver's functions have not changed from CUDA 10.2 to 13.
"""

from __future__ import annotations

import ctypes

import numpy as np

from utils.errors import InputError

LIBRARY = "libcuda.so.1"


class Cuda:
    """The primary context of the first GPU, which TensorRT uses as well, and a stream of it.

    stream: the handle of the stream, an int.
    """

    def __init__(self):
        """InputError if there is no driver or no GPU."""
        try:
            self._library = ctypes.CDLL(LIBRARY)
        except OSError as error:
            raise InputError(f"there is no CUDA driver here ({error}): run this on the Jetson itself") from None
        device = ctypes.c_int()
        context = ctypes.c_void_p()
        stream = ctypes.c_void_p()
        self.call("cuInit", ctypes.c_uint(0))
        self.call("cuDeviceGet", ctypes.byref(device), ctypes.c_int(0))
        self.call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        self.call("cuCtxSetCurrent", context)
        self.call("cuStreamCreate", ctypes.byref(stream), ctypes.c_uint(0))
        self.stream = stream.value

    def call(self, name: str, *arguments) -> None:
        """Calls a function of the driver; InputError with its code if it does not return 0."""
        code = getattr(self._library, name)(*arguments)
        if code != 0:
            raise InputError(f"{name} of the CUDA driver failed with code {code}: free memory, or restart the board")

    def allocate(self, size: int) -> int:
        """The address of `size` bytes of the GPU's memory."""
        address = ctypes.c_uint64()
        self.call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(size))
        return address.value

    def upload(self, address: int, array: np.ndarray) -> None:
        """Copies a contiguous array to the GPU, in the order of the stream."""
        source = ctypes.c_void_p(array.ctypes.data)
        self.call(
            "cuMemcpyHtoDAsync_v2", ctypes.c_uint64(address), source, ctypes.c_size_t(array.nbytes), self._handle()
        )

    def download(self, array: np.ndarray, address: int) -> None:
        """Copies from the GPU into a contiguous array, in the order of the stream: it is filled after wait()."""
        target = ctypes.c_void_p(array.ctypes.data)
        self.call(
            "cuMemcpyDtoHAsync_v2", target, ctypes.c_uint64(address), ctypes.c_size_t(array.nbytes), self._handle()
        )

    def wait(self) -> None:
        """Returns when everything in the stream is done."""
        self.call("cuStreamSynchronize", self._handle())

    def _handle(self):
        return ctypes.c_void_p(self.stream)
