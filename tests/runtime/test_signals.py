"""A wish to stop is not lost, whatever the process is at."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tdbench.diffusion.preconditioning import Denoiser, EDMPreconditioning
from tdbench.errors import Stopped, TdbenchError
from tdbench.records.stored import read_samples
from tdbench.runtime import arrays
from tdbench.runtime.signals import end_on_sigterm, stop_on_request
from tdbench.training.engine import compile_network


@pytest.fixture
def stopping() -> Iterator[Any]:
    """Sends this process SIGTERM, which it takes as the command line does."""
    before = signal.getsignal(signal.SIGTERM)
    end_on_sigterm()
    yield lambda *_, **__: os.kill(os.getpid(), signal.SIGTERM)
    signal.signal(signal.SIGTERM, before)


def test_while_networks_are_compiled(stopping: Any) -> None:
    """Compilers raise whatever they like, and training goes on without; but not after this."""

    def backend(*_: Any) -> None:
        stopping()

    network = nn.Conv2d(1, 1, 1)
    network.compile = lambda: nn.Module.compile(network, backend=backend)  # type: ignore[method-assign,assignment]
    with pytest.raises(Stopped):
        compile_network(Denoiser(network, EDMPreconditioning(0.5)), lambda: network(torch.zeros(1, 1, 4, 4)))


def test_while_a_file_is_read_that_may_be_damaged(
    stopping: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrays, "ZipFile", stopping)
    (tmp_path / "samples.npz").touch()
    with pytest.raises(Stopped):
        read_samples(tmp_path / "samples.npz")


def test_before_the_work_fails() -> None:
    words = "asked to stop, but failed first: diverged"
    with pytest.raises(Stopped, match=words) as caught, stop_on_request():  # noqa: PT012, the two belong together
        os.kill(os.getpid(), signal.SIGTERM)
        raise TdbenchError("diverged")
    assert caught.value.exit_code == 143
    with pytest.raises(TdbenchError), stop_on_request():
        raise TdbenchError("diverged")
