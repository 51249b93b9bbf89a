"""The network of LPIPS, loaded for `tdbench.diffusion.distances.lpips` from files that are read as weights only."""

import warnings
from functools import lru_cache
from importlib.resources import as_file, files
from pathlib import Path

import torch
from torch import Tensor, nn

from tdbench.diffusion.distances import use_lpips
from tdbench.errors import TdbenchError
from tdbench.records.weights import read_state
from tdbench.runtime.progress import say
from tdbench.training.lpips_weights import distance_weights, is_published

_FORM = "expected VGG16's weights under torchvision's names, features.0.weight to features.28.bias"


def load_lpips(given: Path | None = None) -> str:
    """Let `tdbench.diffusion.distances.lpips` have its network; it is loaded once a process.

    Parameters
    ----------
    given : Path or None
        A file of VGG16's weights, in safetensors' format by its suffix or in torch's; None for the published one,
        which is fetched if it is not there.

    Returns
    -------
    str
        SHA-256 of that file.

    Raises
    ------
    TdbenchError
        If the package or the weights cannot be had, or the file holds others.
    """
    path, checksum = distance_weights(given)
    use_lpips(_network(path, checksum))
    return checksum


@lru_cache(maxsize=1)
def _network(path: Path, checksum: str) -> nn.Module:
    network = _without_weights()
    state = _vgg(path, network) | _linear_layers()
    # Not strict: the linear layers have two names each, and two constants of the network are none of the files'.
    network.load_state_dict(state, strict=False, assign=True)
    if missing := [name for name, tensor in network.state_dict().items() if tensor.is_meta]:
        raise TdbenchError(f"distance lpips: the package lpips has other layers ({missing[0]}); install lpips 0.1.4")
    if not is_published(checksum):
        say(
            f"{path}: not VGG16's weights that torchvision publishes, its SHA-256 is {checksum}: with these weights "
            "the distance is not LPIPS"
        )
    return network.eval().requires_grad_(False)


def _without_weights() -> nn.Module:
    """The library's network, its parameters without values: VGG16's classifier, which LPIPS drops, takes 495 MB."""
    try:
        from lpips import LPIPS
    except ImportError as error:
        raise TdbenchError('distance lpips: needs the package lpips; pip install "tdbench[lpips]"') from error
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]), torch.device("meta"):
        # The library calls torchvision by an old argument.
        warnings.simplefilter("ignore", UserWarning)
        network: nn.Module = LPIPS(net="vgg", pretrained=False, pnet_rand=True, verbose=False)
    return network


def _vgg(path: Path, network: nn.Module) -> dict[str, Tensor]:
    """VGG16's features by LPIPS's names: it keeps torchvision's layer ``features.N`` as ``net.sliceK.N``."""
    given = read_state(path, _FORM)
    if not isinstance(given, dict):
        raise TdbenchError(f"{path}: holds no weights by name; {_FORM}")
    found: dict[str, Tensor] = {}
    for name, empty in network.state_dict().items():
        part, _, layer = name.removeprefix("net.").partition(".")
        if part.startswith("slice"):
            found[name] = _checked(path, given, f"features.{layer}", tuple(empty.shape))
    used = {f"features.{name.split('.', 2)[2]}" for name in found}
    if others := sorted(str(name) for name in given if name not in used and not str(name).startswith("classifier.")):
        raise TdbenchError(f"{path}: {others[0]}: not of VGG16; {_FORM}")
    return found


def _checked(path: Path, given: dict[str, Tensor], name: str, shape: tuple[int, ...]) -> Tensor:
    tensor = given.get(name)
    if not isinstance(tensor, Tensor):
        raise TdbenchError(f"{path}: {name}: is missing; {_FORM}")
    if tuple(tensor.shape) != shape or not tensor.is_floating_point():
        kind = f"{tensor.dtype} of shape {tuple(tensor.shape)}".removeprefix("torch.")
        raise TdbenchError(f"{path}: {name}: is {kind}, VGG16's is floating-point of shape {shape}")
    return tensor.detach().float()


def _linear_layers() -> dict[str, Tensor]:
    """What weighs VGG16's channels; the package has them."""
    with as_file(files("lpips") / "weights" / "v0.1" / "vgg.pth") as path:
        return read_state(path, "install the package lpips again")
