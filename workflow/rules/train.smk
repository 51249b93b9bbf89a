# One job trains a batch of runs (`runs_per_job` in the experiment). `params` hold exactly the settings that the weights
# depend on. If they change, the job runs again, and `--keep-finished` skips the runs that are unaffected. The files of
# runs are not declared as outputs, because Snakemake would delete them after a failed job.


rule train:
    input:
        lambda wildcards: W[wildcards.experiment].archives(wildcards.batch),
        lambda wildcards: W.distance_weights.files(W[wildcards.experiment].batches[wildcards.batch].trainings),
    output:
        W.job("train"),
    priority: ask.priority("train")
    threads: lambda wildcards: W[wildcards.experiment].batches[wildcards.batch].cores
    resources:
        gpu=lambda wildcards: W[wildcards.experiment].batches[wildcards.batch].gpus,
        mem_mb=ask.mem_mb("train"),
        runtime=ask.minutes("train"),
    params:
        settings=lambda wildcards: W[wildcards.experiment].settings("train", wildcards.batch),
        runs=lambda wildcards: W[wildcards.experiment].runs_of_job("train", wildcards.batch),
        experiment=lambda wildcards: W[wildcards.experiment].path,
    shell:
        "tdbench train {params.experiment:q} {params.runs} --results {W.results:q} --processes {resources.gpu} --keep-finished --marker {output:q}"
