# Once for all experiments: the published weights, in a cache. Once per data set: the archive, the classifier (if it
# extracts the features) and the reference features. These jobs run first, so that missing data is reported at once.


rule weights:
    output:
        W.weights.records,
    priority: 4000
    params:
        libraries=W.weights.arguments,
    shell:
        "tdbench weights inception {params.libraries} --results {W.results:q}"


# For consistency training with `distance: lpips`.
rule distance_weights:
    output:
        W.distance_weights.record,
    priority: 4000
    shell:
        "tdbench weights lpips --results {W.results:q}"


rule data:
    input:
        lambda wildcards: W.source_files(wildcards.dataset),
    output:
        archive=W.dataset("{dataset}").archive,
        summary=W.dataset("{dataset}").summary,
    priority: 3000
    resources:
        mem_mb=ask.mem_mb("data"),
        runtime=ask.minutes("data"),
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
    priority: 3000
    threads: 1
    resources:
        mem_mb=ask.mem_mb("classifier"),
        runtime=ask.minutes("classifier"),
    shell:
        "tdbench classifier {wildcards.dataset:q} --results {W.results:q} --threads {threads}"


# The libraries share these extractors, so one job serves all libraries.
rule reference:
    input:
        archive=W.dataset("{dataset}").archive,
        extractor=lambda wildcards: W.extractor_files(**wildcards),
    output:
        W.dataset("{dataset}").references("{features}", DEFAULT_LIBRARIES),
    wildcard_constraints:
        features="|".join(name for name in EXTRACTORS if name not in LIBRARY_SPECIFIC),
    priority: 3000
    threads: 1
    resources:
        mem_mb=ask.mem_mb("reference"),
        runtime=ask.minutes("reference"),
    params:
        plugin=lambda wildcards: W.extractor_plugin(wildcards.features),
    shell:
        "tdbench reference {wildcards.dataset:q} --features {wildcards.features:q} {params.plugin} --results {W.results:q} --threads {threads}"


# What perfect samplers score with as many samples; for the report only.
rule floor:
    input:
        lambda wildcards: W.floor_references(wildcards.dataset, wildcards.features),
    output:
        W.dataset("{dataset}").floor("{features}", "{samples}"),
    wildcard_constraints:
        samples="[0-9]+",
    priority: 2500
    threads: 1
    resources:
        mem_mb=ask.mem_mb("reference"),
        runtime=ask.minutes("reference"),
    params:
        libraries=lambda wildcards: W.floor_libraries(wildcards.dataset, wildcards.features),
    shell:
        "tdbench floor {wildcards.dataset:q} --features {wildcards.features:q} --samples {wildcards.samples:q} {params.libraries} --results {W.results:q} --threads {threads}"


# Each library has its own weights or resize, so each has its own job.
rule reference_by_library:
    input:
        archive=W.dataset("{dataset}").archive,
        weights=lambda wildcards: W.weights.files(wildcards.dataset, wildcards.library),
    output:
        W.dataset("{dataset}").reference("{features}", "{library}"),
    wildcard_constraints:
        features="|".join(LIBRARY_SPECIFIC),
    priority: 3000
    threads: 1
    resources:
        mem_mb=ask.mem_mb("reference"),
        runtime=ask.minutes("reference"),
    params:
        weights=lambda wildcards: W.weights.option(wildcards.dataset, wildcards.library),
    shell:
        "tdbench reference {wildcards.dataset:q} --features {wildcards.features:q} --library {wildcards.library:q} {params.weights} --results {W.results:q} --threads {threads}"
