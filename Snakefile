# tdbench: from an experiment file to a report. The shell line of every rule is a `tdbench` command that can be typed by
# hand. All logic is in the package, where it is tested.
#
#   snakemake --cores all                                   run the default experiment
#   snakemake --cores all --config experiment=NAME          another experiment or a collection, by name or path
#   snakemake --cores all comparison | ablations            only a part of the report
#   snakemake -n                                            show the plan
from snakemake.utils import min_version

min_version("9.0")

from tdbench.experiment.extractors import DEFAULT_LIBRARIES, EXTRACTORS, LIBRARIES, LIBRARY_SPECIFIC
from tdbench.workflow.config import limit_gpus, need_cores
from tdbench.workflow.flow import Workflow
from tdbench.workflow.kubernetes import let_pods_share_a_volume
from tdbench.workflow.resources import Requests

need_cores(workflow)
W = Workflow.from_config(config, workflow.is_main_process)
limit_gpus(workflow)
let_pods_share_a_volume()
ask = Requests(W)


include: "workflow/rules/data.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/sample.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/report.smk"


report: "workflow/report/workflow.rst"


wildcard_constraints:
    dataset="[^/]+",
    features="|".join(EXTRACTORS),
    library="|".join(LIBRARIES),
    experiment="[^/]+",
    batch=".+",


onstart:
    W.begin(workflow)


localrules:
    all,
    comparison,
    ablations,
    weights,
    distance_weights,


rule all:
    default_target: True
    input:
        [flow.report.html for flow in W.flows.values()],
        [flow.report.tracked for flow in W.flows.values()],


rule comparison:
    input:
        [flow.comparison_files for flow in W.flows.values()],


rule ablations:
    input:
        [flow.ablation_files for flow in W.flows.values()],
