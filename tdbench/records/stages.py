"""The stages of a run, in their order: one row each, which workflow, resources, status and reports go through.

A row holds names alone: functions are named as ``module:name`` and imported when they are called, so that
`tdbench status` starts at once.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """A stage of a run.

    Attributes
    ----------
    name : str
        Of its command and of its rule.
    doing : str
        What a run does in it.
    waiting : str
        What a run is that waits for it.
    file : str
        The file that it writes last, by its name in `RunLayout`.
    unit : str
        What its progress counts.
    shared : bool
        Whether runs may share what it makes; then it is done for the run that the others point to.
    gpu_priority : int
        Added to the priority of its jobs on GPUs.
    settings : str
        Method of `Run`: all that its result depends on besides its input.
    expected : str
        How much it has to do, by its name in `status.run.Expected`.
    do : str
        Function (Run, RunLayout, DatasetLayout, World) that does it.
    finished : str
        Function (Run, RunLayout, DatasetLayout) -> whether what is stored is complete and made with the same settings,
        from the same input, by the same code.
    needs : str
        Function (Batch, cores) -> `resources.Needs`.
    amount, seconds : str
        Function (content of ``file``, unchecked) -> how much is done, and the seconds that it took.
    work : str
        Function (`status.expected.Expected`) -> how much work it is, in what its time goes by; None where unknown.
    left : str
        Function (`status.expected.Expected`, done, total) -> `status.work.Left`, of what its progress counts; None
        where unknown.
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
            # Before training: then scoring, which follows, can begin.
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
    """The stages after one."""
    names = list(STAGES)
    return [STAGES[other] for other in names[names.index(name) + 1 :]]
