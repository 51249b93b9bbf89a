# Tables, figures, the page, and MLflow. `caption` and `category` serve `snakemake --report`.


rule comparison_tables:
    input:
        W.scores("comparison"),
    output:
        report(
            W.comparison_tables,
            caption="../report/comparison.rst",
            category="Comparison",
            subcategory="Tables",
        ),
        report(
            W.comparison_figures,
            caption="../report/comparison-figures.rst",
            category="Comparison",
            subcategory="Figures",
        ),
    params:
        settings=W.reporting_settings,
    shell:
        "tdbench report {W.path:q} --part comparison --results {W.results:q}"


if W.plan.ablations:

    rule ablation_tables:
        input:
            W.scores("ablations"),
        output:
            report(
                W.ablation_files,
                caption="../report/ablations.rst",
                category="Ablations",
            ),
        params:
            settings=W.reporting_settings,
        shell:
            "tdbench report {W.path:q} --part ablations --results {W.results:q}"


rule page:
    input:
        W.scores("all"),
        W.comparison_files,
        W.ablation_files,
    output:
        parquet=W.report.scores_parquet,
        csv=W.report.scores_csv,
        runs=W.report.runs_csv,
        agreement=report(
            W.report.table("agreement"),
            caption="../report/agreement.rst",
            category="Agreement of the libraries",
        ),
        html=report(
            W.report.html,
            caption="../report/page.rst",
            category="Report",
        ),
    params:
        settings=W.reporting_settings,
    shell:
        "tdbench report {W.path:q} --part page --results {W.results:q}"


rule track:
    input:
        W.report.html,
    output:
        W.report.tracked,
    params:
        store=W.tracking_key,
    shell:
        "tdbench track {W.path:q} --results {W.results:q}"
