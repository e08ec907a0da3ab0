"""Loads models with the stock ncnn wheel and prints what it reads of their `.bin` files.

Run as a program, so that a crash inside ncnn is one failed test and not the end of pytest:

    python ncnn_reads.py a.param a.bin [b.param b.bin ...]

prints one JSON list per pair: [load_param's code, load_model's code, [size of each read in bytes, ...]].
"""

from __future__ import annotations

import ctypes
import json
import sys
from pathlib import Path

import ncnn

_name = ctypes.pythonapi.PyCapsule_GetName
_name.restype, _name.argtypes = ctypes.c_char_p, [ctypes.py_object]
_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.restype, _pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]


class RecordingReader(ncnn.DataReader):
    def __init__(self, data: bytes) -> None:
        super().__init__()
        self.data = data
        self.offset = 0
        self.sizes: list[int] = []

    def read(self, buffer: object, size: int) -> int:
        piece = self.data[self.offset : self.offset + size]
        ctypes.memmove(_pointer(buffer, _name(buffer)), piece, len(piece))
        self.offset += len(piece)
        self.sizes.append(size)
        return len(piece)


def reads(param_path: str, bin_path: str) -> tuple[int, int, list[int]]:
    net = ncnn.Net()
    code = net.load_param(param_path)
    reader = RecordingReader(Path(bin_path).read_bytes())
    return code, net.load_model(reader) if code == 0 else -1, reader.sizes


if __name__ == "__main__":
    for param_path, bin_path in zip(sys.argv[1::2], sys.argv[2::2], strict=True):
        print(json.dumps(reads(param_path, bin_path)), flush=True)
