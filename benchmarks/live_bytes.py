"""The bytes that tensors hold at any time, followed operation by operation; works without the hardware, too."""

import weakref
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter


class LiveBytes(TorchDispatchMode):
    """Counts the storages of all tensors that operations make, while they live.

    What kernels take and give back inside an operation (workspaces) is not seen, nor is what an allocator rounds up.
    With fake tensors nothing is computed and nothing allocated, and the counts are the same.

    Parameters
    ----------
    answer : int or None
        What to answer where a step asks for a number, which fake tensors do not have.

    Attributes
    ----------
    live, peak : int
        Bytes now, and at most so far.
    """

    def __init__(self, answer: int | None = None) -> None:
        super().__init__()
        self.answer = answer
        self.live = self.peak = 0
        self._known: dict[int, weakref.ref[Any]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if self.answer is not None and func is torch.ops.aten._local_scalar_dense.default:
            return self.answer
        result = func(*args, **(kwargs or {}))
        for value in tree_iter(result):
            if isinstance(value, Tensor):
                self.note(value)
        return result

    def note(self, tensor: Tensor) -> None:
        """Count a tensor's storage, unless it is counted already."""
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._known:
            return
        size = storage.nbytes()

        def gone(_: object) -> None:
            del self._known[key]
            self.live -= size

        self._known[key] = weakref.ref(storage, gone)
        self.live += size
        self.peak = max(self.peak, self.live)
