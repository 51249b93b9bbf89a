# One job samples the last snapshots of a batch of runs at every step budget.


rule sample:
    input:
        lambda wildcards: W[wildcards.experiment].trained(wildcards.batch),
    output:
        W.job("sample"),
    priority: ask.priority("sample")
    threads: lambda wildcards: W[wildcards.experiment].batches[wildcards.batch].cores
    resources:
        gpu=lambda wildcards: W[wildcards.experiment].batches[wildcards.batch].gpus,
        mem_mb=ask.mem_mb("sample"),
        runtime=ask.minutes("sample"),
    params:
        settings=lambda wildcards: W[wildcards.experiment].settings("sample", wildcards.batch),
        runs=lambda wildcards: W[wildcards.experiment].runs_of_job("sample", wildcards.batch),
        experiment=lambda wildcards: W[wildcards.experiment].path,
    shell:
        "tdbench sample {params.experiment:q} {params.runs} --results {W.results:q} --processes {resources.gpu} --keep-finished --marker {output:q}"
