"""The description of a crate in RO-Crate's terms: RO-Crate 1.1 with the profile Process Run Crate 0.5.

A crate with the workflow and a licence also follows Workflow Run Crate 0.5 and Workflow RO-Crate 1.0, which require
both. These versions belong together; the profiles do not exist for RO-Crate 1.2.
"""

import hashlib
import json
import re
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path, PurePosixPath

from rocrate.model import ContextEntity, Entity
from rocrate.rocrate import ROCrate

from tdbench.errors import TdbenchError
from tdbench.experiment.plan import Plan
from tdbench.reporting.crate import EXPERIMENT, README
from tdbench.reporting.crate.activities import Activity
from tdbench.reporting.crate.contents import Contents, Member
from tdbench.reporting.crate.readme import readme
from tdbench.reporting.crate.repeat import is_commit
from tdbench.runtime.files import sha256
from tdbench.runtime.provenance import Provenance

PROFILES = {
    "process": ("https://w3id.org/ro/wfrun/process/0.5", "Process Run Crate", "0.5"),
    "workflow": ("https://w3id.org/ro/wfrun/workflow/0.5", "Workflow Run Crate", "0.5"),
    "wroc": ("https://w3id.org/workflowhub/workflow-ro-crate/1.0", "Workflow RO-Crate", "1.0"),
}
# The context of the profiles has a term for checksums, which RO-Crate 1.1 lacks.
_TERMS = "https://w3id.org/ro/terms/workflow-run/context"
_FORMATS = {
    ".json": "application/json",
    ".jsonl": "application/jsonl",
    ".csv": "text/csv",
    ".md": "text/markdown",
    ".tex": "application/x-tex",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".pdf": "application/pdf",
    ".html": "text/html",
    ".yaml": "application/yaml",
    ".parquet": "application/vnd.apache.parquet",
    ".py": "text/x-python",
    ".rst": "text/x-rst",
    ".zip": "application/zip",
    ".npz": "application/zip",
    ".safetensors": "application/octet-stream",
}
_NO_LICENCE = "No licence is stated: ask whoever gave you this crate before you publish or change it."


def describe(plan: Plan, contents: Contents, licence: str | None) -> ROCrate:
    """The crate of ``contents``, not yet written.

    Parameters
    ----------
    licence : str or None
        An SPDX identifier, such as CC-BY-4.0, or an http address.
    """
    crate = ROCrate(version="1.1")
    crate.metadata.extra_contexts.append(_TERMS)
    root = crate.root_dataset
    root["name"] = f"tdbench results of experiment {plan.experiment.name}"
    root["description"] = _summary(plan, contents)
    root["datePublished"] = datetime.now(UTC).isoformat(timespec="seconds")
    root["license"] = _licence(crate, licence)
    if contents.missing:
        root["creativeWorkStatus"] = "Incomplete"
    text = Member(readme(plan, contents).encode(), "What this is, how to check it and how to make it again")
    files = {
        name: _file(crate, name, member, contents.main_workflow)
        for name, member in sorted((contents.members | {README: text}).items())
    }
    files[README]["about"] = root
    software: dict[str, Entity] = {}
    actions = [_action(crate, activity, files, software) for activity in contents.activities]
    profiles = ["process"]
    if contents.main_workflow is not None:
        root["mainEntity"] = files[contents.main_workflow]
        files[contents.main_workflow]["version"] = contents.commits[0]
        actions.append(_workflow_action(crate, plan, contents, files))
        # These profiles require a licence.
        profiles += ["workflow", "wroc"] if licence else []
    root["mentions"] = actions
    root["conformsTo"] = _value([_profile(crate, *PROFILES[name]) for name in profiles])
    if "wroc" in profiles:
        crate.metadata["conformsTo"] = [{"@id": crate.metadata.profile}, {"@id": PROFILES["wroc"][0]}]
    return crate


def _summary(plan: Plan, contents: Contents) -> str:
    experiment = plan.experiment
    parts = [
        f"{experiment.description}." if experiment.description else "",
        "Diffusion models trained with and without the temporal-difference objective:",
        f"{len(plan.runs)} runs of {', '.join(experiment.formulations)} on {', '.join(experiment.datasets)},",
        f"seeds {', '.join(map(str, experiment.seeds))}, with their samples' scores.",
    ]
    if contents.missing:
        parts.append(f"Unfinished: {len(contents.missing)} of {len(plan.runs)} runs are not complete.")
    return " ".join(part for part in parts if part)


def _licence(crate: ROCrate, licence: str | None) -> Entity | str:
    if licence is None:
        return _NO_LICENCE
    if re.fullmatch(r"https?://\S+", licence):
        address = licence
    elif re.fullmatch(r"[A-Za-z0-9.+-]+", licence):
        address = f"https://spdx.org/licenses/{licence}"
    else:
        raise TdbenchError(f"--license {licence!r}: expected an SPDX identifier, such as CC-BY-4.0, or an http address")
    return crate.add(ContextEntity(crate, address, {"@type": "CreativeWork", "name": licence, "identifier": address}))


def _profile(crate: ROCrate, address: str, name: str, version: str) -> Entity:
    return crate.add(ContextEntity(crate, address, {"@type": "CreativeWork", "name": name, "version": version}))


def _file(crate: ROCrate, name: str, member: Member, main_workflow: str | None) -> Entity:
    content = member.content
    if isinstance(content, bytes):
        source: BytesIO | Path = BytesIO(content)
        size, checksum = len(content), hashlib.sha256(content).hexdigest()
    else:
        source, size, checksum = content, content.stat().st_size, sha256(content)
    properties = {
        "name": name,
        "description": member.description,
        "contentSize": str(size),
        "sha256": checksum,
        "encodingFormat": _FORMATS.get(PurePosixPath(name).suffix, "text/plain"),
    }
    if name != main_workflow:
        return crate.add_file(source, name, properties=properties)
    return crate.add_workflow(source, name, properties=properties, lang="snakemake")


def _action(crate: ROCrate, activity: Activity, files: dict[str, Entity], software: dict[str, Entity]) -> Entity:
    instruments = list(dict.fromkeys(_software(crate, origin, software) for origin in activity.origins))
    used: list[Entity] = [files[name] for name in activity.used if name in files]
    if activity.seed is not None:
        seed = {"@type": "PropertyValue", "name": "seed", "value": activity.seed}
        used.append(crate.add(ContextEntity(crate, f"#seed-{activity.seed}", seed)))
    times = {"startTime": activity.began, "endTime": activity.ended}
    properties = {"name": activity.name, "description": activity.details}
    properties |= {key: time for key, time in times.items() if time is not None}
    return crate.add_action(
        _value(instruments),
        f"#{activity.identifier}",
        object=_value(used),
        result=_value([files[name] for name in activity.made]),
        properties=properties,
    )


def _value(entities: list[Entity]) -> list[Entity] | Entity:
    """In RO-Crate a single value is not a list."""
    return entities[0] if len(entities) == 1 else entities


def _software(crate: ROCrate, origin: Provenance, known: dict[str, Entity]) -> Entity:
    """The version of tdbench that made a file, with the libraries that it used."""
    commit, code = origin.git_commit, origin.code_sha256
    key = hashlib.sha256(json.dumps([commit, code, origin.versions, origin.platform]).encode()).hexdigest()
    if key not in known:
        libraries = dict(origin.versions)
        version = str(libraries.pop("tdbench"))
        # A local version of PEP 440 has no hyphen; an installed package has its version in ``commit`` already.
        local = re.sub(r"[^a-z0-9.]", ".", commit.removeprefix(f"{version}+"))
        what = "git commit" if is_commit(commit.removesuffix("-dirty")) else "installed package"
        properties = {
            "@type": "SoftwareApplication",
            "name": "tdbench",
            "softwareVersion": f"{version}+{local}",
            "identifier": commit,
            "description": f"{what} {commit} on {origin.platform}; SHA-256 of code and plug-ins {code}",
            "softwareRequirements": [_library(crate, name, str(v)) for name, v in libraries.items()],
        }
        known[key] = crate.add(ContextEntity(crate, f"#tdbench-{key[:16]}", properties))
    return known[key]


def _library(crate: ROCrate, name: str, version: str) -> Entity:
    properties = {"@type": "SoftwareApplication", "name": name, "softwareVersion": version}
    return crate.add(ContextEntity(crate, f"#{name}-{version}", properties))


def _workflow_action(crate: ROCrate, plan: Plan, contents: Contents, files: dict[str, Entity]) -> Entity:
    """Snakemake's run, from the first begin to the last end of all activities."""
    made = contents.activities
    times = {
        "startTime": min((a.began for a in made if a.began), default=None),
        "endTime": max((a.ended for a in made if a.ended), default=None),
    }
    properties = {
        "name": f"Snakemake's run of experiment {plan.experiment.name}",
        "description": f"snakemake --cores all --config experiment={EXPERIMENT}",
    } | {key: time for key, time in times.items() if time is not None}
    results = list(dict.fromkeys(name for activity in made for name in activity.made))
    return crate.add_action(
        files[contents.main_workflow or ""],
        "#workflow",
        object=files[EXPERIMENT],
        result=[files[name] for name in results],
        properties=properties,
    )
