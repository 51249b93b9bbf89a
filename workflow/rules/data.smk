# Once for each data set: the archive, the classifier if its activations serve as features, the reference features.


rule data:
    input:
        lambda wildcards: W.source_files(wildcards.dataset),
    output:
        archive=W.dataset("{dataset}").archive,
        summary=W.dataset("{dataset}").summary,
    params:
        settings=lambda wildcards: W.source_arguments(wildcards.dataset),
    shell:
        "tdbench data {params.settings} --output {output.archive:q}"


rule classifier:
    input:
        W.dataset("{dataset}").archive,
    output:
        weights=W.dataset("{dataset}").classifier,
        report=W.dataset("{dataset}").classifier_report,
    threads: 1
    shell:
        "tdbench classifier {wildcards.dataset:q} --results {W.results:q} --threads {threads}"


rule reference:
    input:
        archive=W.dataset("{dataset}").archive,
        extractor=lambda wildcards: W.extractor_files(wildcards.dataset, wildcards.features),
    output:
        W.dataset("{dataset}").references("{features}"),
    threads: 1
    shell:
        "tdbench reference {wildcards.dataset:q} --features {wildcards.features:q} --results {W.results:q} --threads {threads}"
