"""The stages of a run in order: one row each, over which workflow, resources, status and reports iterate.

A row holds names only: functions are given as ``module:name`` and imported when they are called, so that
`tdbench status` starts fast.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """A stage of a run.

    Attributes
    ----------
    name : str
        Name of its command and of its rule.
    doing : str
        State of a run in this stage, such as ``training``.
    waiting : str
        State of a run that waits for this stage.
    file : str
        The file that it writes last, as an attribute of `RunLayout`.
    unit : str
        What its progress counts.
    shared : bool
        Whether runs may share its result; the run that the others name in ``weights_name`` does the work.
    gpu_priority : int
        Added to the priority of its jobs on GPUs.
    settings : str
        Method of `Run` that returns the settings on which its result depends, besides its input.
    expected : str
        Its amount of work, as an attribute of `status.expected.Expected`.
    do : str
        Function (Run, RunLayout, DatasetLayout, World) that does it.
    finished : str
        Function (Run, RunLayout, DatasetLayout) -> whether what is stored is complete and made with the same settings,
        from the same input, by the same code.
    needs : str
        Function (Batch, cores) -> `resources.Needs`.
    amount, seconds : str
        Functions (content of ``file``, not validated) -> the amount done, and the seconds that it took.
    work : str
        Function (`status.expected.Expected`) -> the work, in a unit proportional to time; None if unknown.
    left : str
        Function (`status.expected.Expected`, done, total, both as in its log) -> `status.work.Left`; None if
        unknown.
    by_sampler : bool
        Whether its time depends on the sampler.
    """

    name: str
    doing: str
    waiting: str
    file: str
    unit: str
    shared: bool
    gpu_priority: int
    settings: str
    expected: str
    do: str
    finished: str
    needs: str
    amount: str
    seconds: str
    work: str
    left: str
    by_sampler: bool = False


_DO, _NEEDS, _STATUS = "tdbench.workflow.stages", "tdbench.workflow.resources", "tdbench.reporting.status.work"

STAGES: dict[str, Stage] = {
    stage.name: stage
    for stage in (
        Stage(
            name="train",
            doing="training",
            waiting="waiting",
            file="snapshots",
            unit="img",
            shared=True,
            gpu_priority=1000,
            settings="training_settings",
            expected="training_images",
            do=f"{_DO}:train",
            finished=f"{_DO}:is_trained",
            needs=f"{_NEEDS}:training_needs",
            amount=f"{_STATUS}:images_trained",
            seconds=f"{_STATUS}:training_seconds",
            work=f"{_STATUS}:training_work",
            left=f"{_STATUS}:units_left",
        ),
        Stage(
            name="sample",
            doing="sampling",
            waiting="trained",
            file="samples",
            unit="set",
            shared=False,
            # Higher than training, so that scoring can start early.
            gpu_priority=2000,
            settings="sampling_settings",
            expected="sample_sets",
            do=f"{_DO}:sample",
            finished=f"{_DO}:is_sampled",
            needs=f"{_NEEDS}:sampling_needs",
            amount=f"{_STATUS}:sets_sampled",
            seconds=f"{_STATUS}:sampling_seconds",
            work=f"{_STATUS}:sampling_work",
            left=f"{_STATUS}:image_steps_left",
            by_sampler=True,
        ),
        Stage(
            name="evaluate",
            doing="scoring",
            waiting="sampled",
            file="scores",
            unit="set",
            shared=False,
            gpu_priority=0,
            settings="evaluation_settings",
            expected="score_sets",
            do=f"{_DO}:evaluate",
            finished=f"{_DO}:is_scored",
            needs=f"{_NEEDS}:evaluation_needs",
            amount=f"{_STATUS}:sets_scored",
            seconds=f"{_STATUS}:scoring_seconds",
            work=f"{_STATUS}:scoring_work",
            left=f"{_STATUS}:units_left",
        ),
    )
}
"""By name."""


def following(name: str) -> list[Stage]:
    """The stages after the stage ``name``."""
    names = list(STAGES)
    return [STAGES[other] for other in names[names.index(name) + 1 :]]
