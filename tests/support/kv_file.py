"""What users do with exported KV rows, by Python's safetensors package.

kv_file.py read FILE             prints {"metadata": {...}, "tensors": {name: {"dtype", "shape", "values"}}} as JSON
kv_file.py shorten FILE OUT N    writes a file of the first N tokens
kv_file.py zero FILE OUT         writes one whose rows are all zero
"""

import ctypes
import json
import math
import struct
import sys

import safetensors

FORMATS = {"F16": "e", "I8": "b", "I32": "i"}
LONG_NAMES = {"F16": "float16", "I8": "int8", "I32": "int32"}


def load(path):
    with open(path, "rb") as file:
        content = file.read()
    # safe_open() tells the metadata too, but wants a package of arrays.
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    return header["__metadata__"], dict(safetensors.deserialize(content))


def read(path):
    metadata, tensors = load(path)
    listed = {}
    for name, tensor in tensors.items():
        values = struct.unpack(f"<{math.prod(tensor['shape'])}{FORMATS[tensor['dtype']]}", tensor["data"])
        listed[name] = {"dtype": tensor["dtype"], "shape": tensor["shape"], "values": values}
    json.dump({"metadata": metadata, "tensors": listed}, sys.stdout)


def save(path, tensors, metadata):
    specs, kept = {}, []
    for name, (dtype, shape, data) in tensors.items():
        kept.append(ctypes.create_string_buffer(data, len(data)))
        specs[name] = safetensors.TensorSpec(
            dtype=LONG_NAMES[dtype], shape=shape, data_ptr=ctypes.addressof(kept[-1]), data_len=len(data)
        )
    safetensors.serialize_file(specs, path, metadata=metadata)


def shorten(path, out, count):
    metadata, tensors = load(path)

    def first(tensor):
        shape = tensor["shape"]
        return tensor["dtype"], [count, *shape[1:]], bytes(tensor["data"][: len(tensor["data"]) // shape[0] * count])

    save(out, {name: first(tensor) for name, tensor in tensors.items()}, metadata)


def zero(path, out):
    metadata, tensors = load(path)
    rows = {name: tensor for name, tensor in tensors.items() if name != "tokens"}
    save(out, {name: (t["dtype"], t["shape"], bytes(len(t["data"]))) for name, t in rows.items()}, metadata)


if sys.argv[1] == "read":
    read(sys.argv[2])
elif sys.argv[1] == "zero":
    zero(sys.argv[2], sys.argv[3])
else:
    shorten(sys.argv[2], sys.argv[3], int(sys.argv[4]))
