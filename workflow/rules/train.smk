# `params` hold exactly what the weights depend on: a change there retrains the runs that it touches, nothing else does.
# Snapshots are not declared, so that those of a failed training stay.


rule train:
    input:
        lambda wildcards: W.run_dataset(wildcards.run).archive,
    output:
        W.run_files("{run}").snapshots,
    params:
        settings=lambda wildcards: W.training_settings(wildcards.run),
    threads: lambda wildcards: W.run(wildcards.run).training.threads
    shell:
        "tdbench train {W.path:q} {wildcards.run:q} --results {W.results:q}"
