# One job a run samples all its last snapshots at all step budgets.


rule sample:
    input:
        lambda wildcards: W.weights_of(wildcards.run),
    output:
        W.run_files("{run}").samples,
    params:
        settings=lambda wildcards: W.sampling_settings(wildcards.run),
    threads: lambda wildcards: W.run(wildcards.run).training.threads
    shell:
        "tdbench sample {W.path:q} {wildcards.run:q} --results {W.results:q}"
