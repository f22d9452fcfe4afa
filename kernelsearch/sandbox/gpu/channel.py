"""Messages between judge and launcher: a JSON document and the raw bytes of tensors; nothing is unpickled."""

import json
import select
import socket
import struct
import time
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

CHUNK = 1 << 20


class Closed(Exception):
    """The other side is gone."""


class Late(Exception):
    """No whole answer came in time."""


def send(channel: socket.socket, document: Any, tensors: Mapping[str, Tensor] | None = None) -> None:
    described, blobs = [], []
    for name, tensor in (tensors or {}).items():
        host = tensor.detach().to("cpu").contiguous()
        described.append([name, str(host.dtype).removeprefix("torch."), list(host.shape)])
        blobs.append(_bytes(host))
    head = json.dumps([document, described]).encode()
    try:
        channel.sendall(struct.pack("<Q", len(head)) + head)
        for blob in blobs:
            channel.sendall(blob)
    except OSError:
        raise Closed from None


def receive(channel: socket.socket, timeout_s: float | None = None) -> tuple[Any, dict[str, Tensor]]:
    until = None if timeout_s is None else time.monotonic() + timeout_s
    (length,) = struct.unpack("<Q", _read(channel, 8, until))
    document, described = json.loads(bytes(_read(channel, length, until)))
    tensors = {}
    for name, dtype, shape in described:
        made = torch.empty(shape, dtype=getattr(torch, dtype))
        if made.numel():
            data = _read(channel, made.numel() * made.element_size(), until)
            made = torch.frombuffer(data, dtype=made.dtype).reshape(shape)
        tensors[name] = made
    return document, tensors


def _bytes(tensor: Tensor) -> memoryview:
    if tensor.numel() == 0:
        return memoryview(b"")
    return memoryview(tensor.reshape(-1).view(torch.uint8).numpy().data)


def _read(channel: socket.socket, count: int, until: float | None) -> bytearray:
    data = bytearray(count)
    view, at = memoryview(data), 0
    while at < count:
        if until is not None:
            left = until - time.monotonic()
            if left <= 0 or not select.select([channel], [], [], left)[0]:
                raise Late
        try:
            got = channel.recv_into(view[at : at + CHUNK])
        except OSError:
            raise Closed from None
        if got == 0:
            raise Closed
        at += got
    return data
