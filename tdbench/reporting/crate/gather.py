"""Collects the files of an experiment for a crate, and checks that they belong together."""

from pathlib import Path, PurePosixPath

from tdbench.data.summary import DataSummary
from tdbench.errors import TdbenchError
from tdbench.evaluation.features import read_facts
from tdbench.experiment.extractors import EXTRACTORS, PUBLISHERS
from tdbench.experiment.plan import Plan
from tdbench.records.layout import DatasetLayout, ReportLayout
from tdbench.records.stored import Records, RunRecords
from tdbench.records.weights import check_snapshot
from tdbench.reporting.crate import EXPERIMENT, RESOLVED, SOFTWARE, WRITTEN
from tdbench.reporting.crate import activities as made
from tdbench.reporting.crate.contents import Contents, Member, keys_of
from tdbench.reporting.crate.portable import portable
from tdbench.reporting.crate.repeat import is_commit
from tdbench.reporting.crate.reported import add_report
from tdbench.runtime import advice
from tdbench.runtime.files import sha256
from tdbench.runtime.provenance import git_commit

WEIGHTS, SAMPLES, DATA = "--with-weights", "--with-samples", "--with-data"


def gather(plan: Plan, results: Path, options: frozenset[str], unfinished: bool) -> Contents:
    """Collect and check the content of a crate.

    Parameters
    ----------
    options : frozenset
        Which of `WEIGHTS`, `SAMPLES` and `DATA` to pack.
    unfinished : bool
        Pack the finished stages of an unfinished experiment, without a report.

    Raises
    ------
    TdbenchError
        If there are no results, a run is not finished, or a file is missing, damaged, or not of this experiment.
    """
    layout = ReportLayout(results, plan.experiment.name)
    if not layout.folder.is_dir():
        raise TdbenchError(
            f"{layout.folder}: no results of experiment {plan.experiment.name!r}; "
            f"run `{advice.snakemake(plan.path, results, only=plan.only)}`, or name another folder with --results"
        )
    contents, records = Contents(results, options), Records(results)
    _add_experiment(contents, plan, layout)
    for run in plan.runs.values():
        try:
            _add_run(contents, records.of(run))
        except TdbenchError as error:
            contents.missing[run.name] = str(error)
    if contents.missing and not unfinished:
        first, others = next(iter(contents.missing.values())), len(contents.missing) - 1
        more = f" ({others} more of {len(plan.runs)} runs are not finished)" * (others > 0)
        raise TdbenchError(f"{first}{more}; or pack the finished stages with --unfinished")
    for name in plan.experiment.datasets:
        _add_dataset(contents, plan, name, records)
    if not contents.missing:
        add_report(contents, plan, records)
    _add_software(contents, layout)
    return contents


def _add_experiment(contents: Contents, plan: Plan, layout: ReportLayout) -> None:
    written = Member(plan.path, "The experiment as its author wrote it")
    contents.members[EXPERIMENT] = written
    if DATA in contents.options and (changed := portable(plan)) is not None:
        contents.members[EXPERIMENT] = Member(changed, "The experiment, with the data sets that lie beside it")
        contents.members[WRITTEN] = written
    settings = {run.name: run.model_dump(mode="json", by_alias=True) for run in plan.runs.values()}
    contents.add_json(RESOLVED, settings, "Every run with all its settings explicit")
    contents.add(
        layout.plan, "The runs and what each consists of", advice.snakemake(plan.path, contents.results, only=plan.only)
    )
    for plugin in plan.experiment.plugins:
        path = PurePosixPath(plugin)
        # Other plug-ins belong to an installed package, or are outside the experiment's folder.
        if path.suffix == ".py" and not path.is_absolute() and ".." not in path.parts:
            contents.members[path.as_posix()] = Member(plan.path.parent / plugin, "Plug-in of the experiment")


def _add_run(contents: Contents, records: RunRecords) -> None:
    """Add the stages of a run in order; raises at the first that is not finished."""
    run, layout = records.run, records.layout
    train, sample, evaluate = (records.command(stage) for stage in ("train", "sample", "evaluate"))
    with keys_of(train):
        weights = _add_training(contents, records, train)
    with keys_of(sample):
        sets = _add_sample_sets(contents, records)
        samples = contents.add(layout.samples, "Sample sets with checksums, settings, evaluations and times", sample)
        names = [samples, *sets]
        if records.consistency is not None:
            names.append(contents.add(layout.consistency, "Residual of the trained denoiser with itself", sample))
        if records.mechanism is not None:
            what = "Variance of the gradient, what the temporal difference removes, and its target's lag"
            names.append(contents.add(layout.mechanism, what, sample))
        used = [contents.name(layout.snapshots), *weights]
        contents.activities.append(made.sampling(run, records.sampled, used, names))
    with keys_of(evaluate):
        scored = records.scored
        scores = contents.add(layout.scores, "Scores of both libraries for each sample set", evaluate)
        files = records.files
        references = [files.reference(run.evaluation.features, library) for library in run.evaluation.libraries]
        used = [samples, *sets, *(contents.name(path.with_suffix(".json")) for path in references)]
        contents.activities.append(made.evaluation(run, records.progress, scored, used, [scores]))


def _add_training(contents: Contents, records: RunRecords, command: str) -> list[str]:
    """Add a run's training unless it belongs to another run; returns the paths in the crate of packed weights."""
    run, layout, record = records.run, records.layout, records.trained
    weights = _add_weights(contents, records)
    if run.weights_name != run.name:
        return weights
    if records.metrics[-1:] != [records.finished.last_metrics]:
        raise TdbenchError(f"{layout.metrics}: does not end with the training's last line; run `{command}` again")
    names = [
        contents.add(layout.settings, "Settings, data, hardware and code of a training", command),
        contents.add(layout.metrics, "Losses, speed and memory in the course of a training", command),
        contents.add(layout.snapshots, "Snapshots of a training with their checksums, and its duration", command),
    ]
    data = contents.name(records.files.summary)
    contents.activities.append(made.training(run, records.progress, record, [EXPERIMENT, data], names + weights))
    return weights


def _add_weights(contents: Contents, records: RunRecords) -> list[str]:
    names, command = [], records.command("train")
    temporary = records.run.temporary_snapshots
    wanted = {*records.run.scored_snapshots(), *(i for i in records.run.curve_snapshots if i not in temporary)}
    for images in sorted(wanted):
        path = records.layout.snapshot(images)
        if WEIGHTS in contents.options:
            check_snapshot(path, records.snapshots[images], command)
        names += contents.add_large(path, f"Averaged weights after {images} images", command, WEIGHTS)
    if records.networks is not None:
        path = records.layout.training / records.networks.file
        if WEIGHTS in contents.options:
            check_snapshot(path, records.networks, command)
        names += contents.add_large(path, "The trained network and its target, without average", command, WEIGHTS)
    return names


def _add_sample_sets(contents: Contents, records: RunRecords) -> list[str]:
    names, command = [], records.command("sample")
    for record in records.sampled:
        path = records.layout.folder / record.file
        if SAMPLES in contents.options and (not path.is_file() or sha256(path) != record.sha256):
            raise TdbenchError(f"{path}: missing or changed since it was sampled; run `{command}` again")
        what = f"{records.run.sampling.images} samples at {record.steps} steps"
        names += contents.add_large(path, what, command, SAMPLES)
        names += contents.add_large(path.with_suffix(".png"), f"Picture of {what}", command, SAMPLES)
    for record in records.curve_sampled:
        path = records.layout.folder / record.file
        what = f"{records.run.curve_images} samples of the curve at {record.steps} steps"
        names += contents.add_large(path, what, command, SAMPLES)
    return names


def _add_dataset(contents: Contents, plan: Plan, name: str, records: Records) -> None:
    features, files = plan.experiment.evaluation.features, DatasetLayout(contents.results, name)
    runs = [run for run in plan.runs.values() if run.dataset_name == name and run.name not in contents.missing]
    if not runs and not files.summary.is_file():
        return
    command = advice.snakemake(plan.path, contents.results, files.archive)
    summary = records.read(files.summary, command, DataSummary)
    for run in runs:
        if not records.of(run).trained.data.same_data(summary):
            raise TdbenchError(
                f"{files.summary}: not the data that {run.name} was trained on; "
                f"run `{records.of(run).command('train')}` again"
            )
    contents.add(files.summary, f"Data set {name}: checksum, size, classes", command)
    if DATA in contents.options and (not files.archive.is_file() or sha256(files.archive) != summary.sha256):
        raise TdbenchError(f"{files.archive}: missing or changed since {files.summary} was written; run `{command}`")
    contents.add_large(files.archive, f"Images of data set {name}", command, DATA)
    if EXTRACTORS[features].trained_on_data and runs:
        trained = advice.classifier(files.classifier)
        contents.add(files.classifier_report, "Accuracy of the classifier", trained)
        what = "The classifier whose activations are the features"
        contents.add_large(files.classifier, what, trained, DATA)
    for library in dict.fromkeys(library for run in runs for library in run.evaluation.libraries):
        _add_reference(contents, files, library, [records.of(run) for run in runs])
    for samples in plan.floors[name] if runs else ():
        path = files.floor(features, samples)
        made_by = advice.floor(path, features, samples, plan.libraries(name))
        contents.add(path, f"What perfect samplers score with {samples} samples of data set {name}", made_by)


def _add_reference(contents: Contents, files: DatasetLayout, library: str, runs: list[RunRecords]) -> None:
    """Add the facts of a library's reference features, after checking that the runs were scored against them."""
    settings, dataset = runs[0].run.evaluation, files.folder.name
    path, features = files.reference(settings.features, library), settings.features
    given = settings.weights.get(PUBLISHERS[library])
    command = advice.reference(path, features, [library], given, EXTRACTORS[features].plugin)
    facts, checksum = read_facts(path, command), sha256(path)
    for run in runs:
        if run.scored.references.get(library, checksum) != checksum:
            raise TdbenchError(
                f"{run.layout.scores}: scored against other features than {path}; run `{run.command('evaluate')}` again"
            )
    described = {"file": path.name, "sha256": checksum, "bytes": path.stat().st_size, "facts": facts.to_json()}
    title = f"{library}'s features of data set {dataset}"
    name = contents.add_json(contents.name(path.with_suffix(".json")), described, f"Where {title} come from")
    names = [name, *contents.add_large(path, title, command, DATA)]
    with keys_of(command):
        contents.activities.append(made.referring(dataset, facts, command, [contents.name(files.summary)], names))


def _add_software(contents: Contents, layout: ReportLayout) -> None:
    """Add the workflow and the locked versions if this checkout is the commit that made the results."""
    if contents.commits != [git_commit()] or not is_commit(git_commit()):
        return
    root = Path(__file__).parents[3]
    described = {
        "requirements.lock": "Every library with its version and checksum",
        "Snakefile": "The workflow",
        "workflow/rules/*.smk": "Rules of the workflow",
        "workflow/report/*.rst": "Captions of the workflow's report",
    }
    for pattern, description in described.items():
        for path in sorted(root.glob(pattern)):
            contents.members[f"{SOFTWARE}/{path.relative_to(root).as_posix()}"] = Member(path, description)
    # Only Snakemake writes these markers; without them the stages were run by hand.
    if f"{SOFTWARE}/Snakefile" in contents.members and any(layout.folder.glob("jobs/**/evaluate.json")):
        contents.main_workflow = f"{SOFTWARE}/Snakefile"
