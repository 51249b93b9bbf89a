# One job a run scores all its sample sets with both libraries.


rule evaluate:
    input:
        samples=W.run_files("{run}").samples,
        references=lambda wildcards: W.run_dataset(wildcards.run).references(W.features),
    output:
        W.run_files("{run}").scores,
    params:
        settings=lambda wildcards: W.evaluation_settings(wildcards.run),
    threads: lambda wildcards: W.run(wildcards.run).training.threads
    shell:
        "tdbench evaluate {W.path:q} {wildcards.run:q} --results {W.results:q}"
