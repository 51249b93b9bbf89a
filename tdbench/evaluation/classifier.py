"""Feature extractor ``classifier``: a small CNN trained on the data set's own labels.

For data whose native resolution Inception was never made for. It is trained once per data set on four
fifths of the images, its accuracy measured on the rest, and the activations before its last layer serve
as features.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, pad, relu, silu

from tdbench.data.archive import ImageSet
from tdbench.errors import TdbenchError
from tdbench.evaluation.features import FeatureExtractor
from tdbench.records.layout import PROGRESS, DatasetLayout
from tdbench.records.schema import ClassifierReport, read_record
from tdbench.records.weights import load_snapshot, save_snapshot
from tdbench.runtime import advice
from tdbench.runtime.device import choose_device
from tdbench.runtime.files import sha256, write_json
from tdbench.runtime.progress import progress
from tdbench.runtime.progress_log import ProgressLog
from tdbench.runtime.provenance import provenance
from tdbench.seeds import derive_seed, generator

SEED = 0
FEATURES = 64
EPOCHS, BATCH, LEARNING_RATE = 40, 64, 2e-3
TEST_SHARE = 0.2
MINIMUM_ACCURACY = 0.97


class ClassifierNetwork(nn.Module):
    """Three convolutions, a layer of `FEATURES` activations, and the classes.

    Parameters
    ----------
    channels, num_classes : int
    """

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Conv2d(i, o, 3, padding=1) for i, o in ((channels, 32), (32, 64), (64, 64))
        )
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.hidden = nn.Linear(64 * 4, FEATURES)
        self.dropout = nn.Dropout(0.3)
        self.classes = nn.Linear(FEATURES, num_classes)

    def features(self, images: Tensor) -> Tensor:
        """(N, C, H, W) uint8 or float 0..255 -> (N, `FEATURES`)."""
        x = images.to(self.hidden.weight.dtype) / 127.5 - 1
        for i, layer in enumerate(self.convolutions):
            x = relu(layer(x))
            x = nn.functional.max_pool2d(x, 2) if i == 1 else x
        # Not ReLU: a unit that is dead on all images would make the covariance singular.
        return silu(self.hidden(self.pool(x).flatten(1)))

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.classes(self.dropout(self.features(images)))
        return logits


def train_classifier(data: ImageSet, weights: Path, report: Path, threads: int = 1) -> float:
    """Train on ``data`` and write weights and a report; returns the accuracy on the held-out images.

    Raises
    ------
    TdbenchError
        Without labels, or if the accuracy stays below `MINIMUM_ACCURACY`: features of a classifier that
        does not know its classes would measure little.
    """
    # Slow to import, and those who only load the classifier do not need it.
    from sklearn.model_selection import train_test_split

    classes = _enough_labels(data)
    device = choose_device("cpu", threads)
    index = np.arange(len(data.images))
    train_index, test_index = train_test_split(index, test_size=TEST_SHARE, random_state=SEED, stratify=classes)
    images, labels = torch.from_numpy(data.images).to(device), torch.from_numpy(classes).to(device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(SEED, "classifier"))
        network = ClassifierNetwork(data.channels, data.num_classes).to(device)
        _fit(network, images[train_index], labels[train_index], ProgressLog(report.with_name(PROGRESS), "classifier"))
    network.eval()
    with torch.no_grad():
        predicted = torch.cat([network(batch).argmax(1) for batch in images[test_index].split(512)])
    accuracy = float((predicted == labels[test_index]).double().mean())
    if accuracy < MINIMUM_ACCURACY:
        raise TdbenchError(
            f"{data.path}: the classifier reaches {accuracy:.1%} on {len(test_index)} held-out images, "
            f"at least {MINIMUM_ACCURACY:.0%} is needed; choose other evaluation.features"
        )
    checksum = save_snapshot(weights, network, {"data": data.checksum})
    found = ClassifierReport(
        test_accuracy=accuracy,
        test_images=len(test_index),
        train_images=len(train_index),
        features=FEATURES,
        channels=data.channels,
        classes=data.num_classes,
        seed=SEED,
        sha256=checksum,
        data=data.summary(),
        provenance=provenance(),
    )
    write_json(report, found)
    return accuracy


def _enough_labels(data: ImageSet) -> np.ndarray:
    """The (N,) labels of data that a classifier can be trained on and tested with."""
    if data.labels is None or data.num_classes < 2:
        raise TdbenchError(
            f"{data.path}: features 'classifier' need labels of at least 2 classes; the archive has "
            f"{'no labels' if data.labels is None else 'one class'}"
        )
    fewest = int(np.bincount(data.labels).min())
    if fewest < 2 or len(data.images) * TEST_SHARE < data.num_classes:
        raise TdbenchError(
            f"{data.path}: features 'classifier' need 2 images of every class and {data.num_classes / TEST_SHARE:.0f} "
            f"in all; the archive has {len(data.images)}, of one class {fewest}"
        )
    return data.labels


def _fit(network: ClassifierNetwork, images: Tensor, labels: Tensor, log: ProgressLog) -> None:
    steps = -(-len(images) // BATCH)
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE * 2, total_steps=EPOCHS * steps)
    with progress("classifier", EPOCHS * len(images), "img", log=log) as bar:
        for epoch in range(EPOCHS):
            source = generator(SEED, "classifier-order", epoch)
            for chosen in torch.randperm(len(images), generator=source).split(BATCH):
                chosen = chosen.to(images.device)
                optimizer.zero_grad(set_to_none=True)
                cross_entropy(network(_shifted(images[chosen], source)), labels[chosen]).backward()
                optimizer.step()
                schedule.step()
                bar.update(len(chosen))


def _shifted(images: Tensor, source: torch.Generator) -> Tensor:
    """The batch shifted by up to one pixel: the only augmentation that keeps 8x8 digits readable."""
    dy, dx = torch.randint(-1, 2, (2,), generator=source).tolist()
    height, width = images.shape[2:]
    return pad(images, (1, 1, 1, 1))[:, :, 1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width]


def load(library: str, files: DatasetLayout, given: Path | None) -> FeatureExtractor:
    """The extractor of a data set, the same for every library."""
    return load_classifier(files.classifier, files.classifier_report)


def describe(files: DatasetLayout, libraries: Iterable[str], name: str) -> str:
    """How good the classifier of a data set is, for people."""
    facts = read_record(files.classifier_report, advice.classifier(files.classifier_report), ClassifierReport)
    return f"{name}: {facts.test_accuracy:.1%} of {facts.test_images} held-out images right"


def load_classifier(weights: Path, report: Path) -> FeatureExtractor:
    """The extractor that `train_classifier` wrote."""
    command = advice.classifier(report)
    facts = read_record(report, command, ClassifierReport)
    network = ClassifierNetwork(facts.channels, facts.classes)
    load_snapshot(weights, network, command)
    checksum = sha256(weights)
    if checksum != facts.sha256:
        raise TdbenchError(f"{weights}: does not belong to {report}; run `{command}` again")
    return FeatureExtractor("classifier", checksum, "native", network.eval().features, network.classes)
