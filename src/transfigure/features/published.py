"""The published files of weights that metrics and losses can see with: names, hashes, where they come from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Weights:
    """A published file of weights.

    Attributes:
        name: what it is called here, such as ``inception``.
        file: the file name it was published under, and is looked for.
        also: further names it goes by; a file of such a name counts only if its hash is the published one.
        url: where it was published.
        sha256: of the published file, 64 hexadecimal digits; empty if nobody published it, and then any file is taken.
        size: in bytes; 0 if unknown.
        purpose: the metrics and losses that see with it.
        origin: who made it, and under which licence where that is stated.
    """

    name: str
    file: str
    also: tuple[str, ...]
    url: str
    sha256: str
    size: int
    purpose: str
    origin: str

    @property
    def command(self) -> str:
        """What is typed to get it."""
        return f"transfigure weights get {self.name}"


def _of_torchvision(name: str, network: str, file: str, sha256: str, size: int, purpose: str) -> Weights:
    url = f"https://download.pytorch.org/models/{file}"
    return Weights(name, file, (), url, sha256, size, purpose, f"{network}, trained on ImageNet and published with torchvision")


def _of_lpips(kind: str, sha256: str, size: int) -> Weights:
    folder = "https://github.com/richzhang/PerceptualSimilarity/raw/082bb24f84c091ea94de2867d34c4544f68e0963/lpips/weights/v0.1"
    file, also, url = f"lpips_v0.1_{kind}.pth", (f"{kind}.pth",), f"{folder}/{kind}.pth"
    origin = "the linear layers of LPIPS 0.1, published by its authors (Zhang et al. 2018), BSD-2-Clause"
    return Weights(f"lpips_{kind}", file, also, url, sha256, size, f"LPIPS ({kind}), the loss perceptual", origin)


_ALL = (
    Weights(
        name="inception",
        file="pt_inception-2015-12-05-6726825d.pth",
        also=("weights-inception-2015-12-05-6726825d.pth",),
        url="https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth",
        sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
        size=95_628_359,
        purpose="FID, KID, precision/recall/density/coverage",
        origin="the Inception network of 2015 that FID is defined on, converted for PyTorch and published with pytorch-fid, Apache-2.0",
    ),
    _of_torchvision(
        "alexnet",
        "AlexNet",
        "alexnet-owt-7be5be79.pth",
        "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
        244_408_911,
        "LPIPS (alex), the loss perceptual",
    ),
    _of_torchvision(
        "vgg16",
        "VGG-16",
        "vgg16-397923af.pth",
        "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
        553_433_881,
        "LPIPS (vgg), DISTS, the loss perceptual",
    ),
    _of_torchvision(
        "squeezenet",
        "SqueezeNet 1.1",
        "squeezenet1_1-b8a52dc0.pth",
        "b8a52dc049b60e4b6ab68ad0df457362afab8b6304b2febdc1650a5dab4d7e7b",
        0,
        "LPIPS (squeeze), the loss perceptual",
    ),
    _of_lpips("alex", "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0", 6009),
    _of_lpips("vgg", "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868", 7289),
    _of_lpips("squeeze", "4a5350f23600cb79923ce65bb07cbf57dca461329894153e05a1346bd531cf76", 10_811),
    Weights(
        name="dists",
        file="dists_weights.pt",
        also=("weights.pt",),
        url="https://github.com/dingkeyan93/DISTS/raw/1267d8cb626c98706db3697422701c56a85ebf2e/DISTS_pytorch/weights.pt",
        sha256="f5e65c96230b7f6ca995691647d482237e4cab8a50c5c4a5784f219ef0748218",
        size=12_288,
        purpose="DISTS",
        origin="the weights of DISTS, published by its authors (Ding et al. 2020), MIT",
    ),
)
CATALOGUE: dict[str, Weights] = {entry.name: entry for entry in _ALL}

# ---- where they are ------------------------------------------------------------------------------------------------------
