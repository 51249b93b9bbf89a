"""A GPU that computes nothing, for machines without one: it shows what would wait for it, or meet it from elsewhere.

Tensors on "cuda" are PyTorch's fake tensors, with shapes and no values; those on the CPU are real. Not seen: what
autograd does backwards, and what a library does within one call.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

CUDA = torch.device("cuda")
_COPIES = (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)
_MODULE_TO = nn.Module.to
_LARGE = 65536
"""Bytes up to which CUDA puts a copy from ordinary memory aside; larger ones it may wait for."""


class Waits(Exception):
    """Work on the CPU would wait for the GPU, or copy to it without saying so."""


class _FakeCuda(TorchDispatchMode):
    """Sends what concerns the GPU to the fake tensors' mode below, and computes the rest."""

    def __init__(self) -> None:
        super().__init__()
        self.strict = False
        self.pinned: set[int] = set()
        self.operations = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        leaves = tree_leaves((args, kwargs))
        if not any(map(_on_gpu, leaves)):
            with unset_fake_temporarily():
                return func(*args, **kwargs)
        self.operations += 1
        if self.strict:
            self._check(func, leaves, kwargs, kwargs.get("non_blocking", len(args) > 2 and args[2]))
        return func(*args, **kwargs)

    def _check(self, func: Any, leaves: list[Any], kwargs: dict[str, Any], non_blocking: bool) -> None:
        tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        host = [tensor for tensor in tensors if not isinstance(tensor, FakeTensor)]
        if func == torch.ops.aten._local_scalar_dense.default:
            raise Waits(f"{func}: a value is read from the GPU")
        if func in _COPIES:
            to_host = kwargs.get("device") == torch.device("cpu") or not isinstance(tensors[0], FakeTensor)
            if to_host and len(host) < len(tensors):
                raise Waits(f"{func}: from the GPU to the CPU")
            if host and not non_blocking:
                raise Waits(f"{func}: a copy to the GPU that is waited for")
            if any(t.nbytes > _LARGE and t.untyped_storage().data_ptr() not in self.pinned for t in host):
                raise Waits(f"{func}: a large copy to the GPU from memory that is not page-locked")
        elif any(tensor.dim() for tensor in host):
            raise Waits(f"{func}: tensors of the CPU and of the GPU meet")

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Within the block nothing may wait; and something has to be computed."""
        before, self.strict = self.operations, True
        try:
            yield
        finally:
            self.strict = False
        assert self.operations > before


def _on_gpu(argument: Any) -> bool:
    return isinstance(argument, FakeTensor) or (isinstance(argument, torch.device) and argument.type == "cuda")


class FakeGenerator(torch.Generator):
    """Says that it is one of the GPU."""

    @property
    def device(self) -> torch.device:
        return CUDA


def fake_generator(seed: int, *key: str | int, device: torch.device | str = "cpu") -> torch.Generator:
    """In the place of `seeds.generator`."""
    from tdbench.seeds import generator

    return FakeGenerator() if torch.device(device).type == "cuda" else generator(seed, *key)


def _backward(loss: Tensor, *_: Any) -> None:
    """A gradient to every parameter that the loss depends on; PyTorch's own way back needs a device."""
    todo, seen = [loss.grad_fn], set()
    while todo:
        node = todo.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            node.variable.grad = torch.zeros_like(node.variable)
        todo += [following for following, _ in node.next_functions]


def _to(module: nn.Module, *args: Any, memory_format: torch.memory_format | None = None, **kwargs: Any) -> nn.Module:
    """PyTorch's own does not change the layout of fake parameters."""
    if memory_format is None:
        return _MODULE_TO(module, *args, **kwargs)
    for part in module.modules():
        for name, value in part.named_parameters(recurse=False):
            if value.dim() == 4:
                setattr(part, name, nn.Parameter(value.detach().to(memory_format=memory_format), value.requires_grad))
    return module


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[_FakeCuda]:
    """A fake GPU; its `watched` blocks must not wait for it."""
    fake = _FakeCuda()

    def pin(tensor: Tensor) -> Tensor:
        fake.pinned.add(tensor.untyped_storage().data_ptr())
        return tensor

    monkeypatch.setattr(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: True)
    monkeypatch.setattr(nn.Module, "to", _to)
    monkeypatch.setattr(Tensor, "backward", _backward)
    monkeypatch.setattr(Tensor, "pin_memory", pin)
    monkeypatch.setattr("tdbench.training.step.generator", fake_generator)
    flags = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [flag.allow_tf32 for flag in flags]
    with FakeTensorMode(allow_non_fake_inputs=True), fake:
        yield fake
    for flag, value in zip(flags, before, strict=True):
        flag.allow_tf32 = value
