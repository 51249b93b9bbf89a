# One job scores all sample sets of a batch of runs with all libraries.


rule evaluate:
    input:
        samples=W.job("sample"),
        references=lambda wildcards: W[wildcards.experiment].references(wildcards.batch),
    output:
        W.job("evaluate"),
    priority: ask.priority("evaluate")
    threads: lambda wildcards: W[wildcards.experiment].batches[wildcards.batch].cores
    resources:
        processes=lambda wildcards: W[wildcards.experiment].batches[wildcards.batch].processes,
        mem_mb=ask.mem_mb("evaluate"),
        runtime=ask.minutes("evaluate"),
    params:
        settings=lambda wildcards: W[wildcards.experiment].settings("evaluate", wildcards.batch),
        runs=lambda wildcards: W[wildcards.experiment].runs_of_job("evaluate", wildcards.batch),
        experiment=lambda wildcards: W[wildcards.experiment].path,
    shell:
        "tdbench evaluate {params.experiment:q} {params.runs} --results {W.results:q} --processes {resources.processes} --keep-finished --marker {output:q}"
