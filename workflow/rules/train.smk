# One job trains a batch of runs (`runs_per_job` of the experiment). `params` hold exactly what the weights depend on: a
# change there runs the job again, and `--keep-finished` leaves alone what it did not touch. The runs' own files are not
# declared, so that those of a failed job stay.


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
