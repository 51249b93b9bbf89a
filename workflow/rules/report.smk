# Tables, figures, the page and MLflow for each experiment. Their priority is high, because users wait for them. `caption`
# and `category` are for `snakemake --report`. Values that differ by experiment are in `params`, because Snakemake fills
# in the shell lines after the loop has ended.

for flow in W.flows.values():

    rule:
        name:
            f"comparison_tables_{flow.name}"
        input:
            flow.scores("comparison"),
            flow.floors,
        output:
            report(
                flow.comparison_tables,
                caption="../report/comparison.rst",
                category="Comparison",
                subcategory="Tables",
            ),
            report(
                flow.comparison_figures,
                caption="../report/comparison-figures.rst",
                category="Comparison",
                subcategory="Figures",
            ),
        priority: 3000
        resources:
            mem_mb=ask.mem_mb("report"),
            runtime=ask.minutes("report"),
        params:
            settings=flow.reporting_settings,
            experiment=flow.path,
            only=flow.only,
        shell:
            "tdbench report {params.experiment:q} {params.only} --part comparison --results {W.results:q}"

    if flow.plan.ablations:

        rule:
            name:
                f"ablation_tables_{flow.name}"
            input:
                flow.scores("ablations"),
                flow.floors,
            output:
                report(
                    flow.ablation_files,
                    caption="../report/ablations.rst",
                    category="Ablations",
                ),
            priority: 3000
            resources:
                mem_mb=ask.mem_mb("report"),
                runtime=ask.minutes("report"),
            params:
                settings=flow.reporting_settings,
                experiment=flow.path,
                only=flow.only,
            shell:
                "tdbench report {params.experiment:q} {params.only} --part ablations --results {W.results:q}"

    rule:
        name:
            f"page_{flow.name}"
        input:
            flow.scores("all"),
            flow.comparison_files,
            flow.ablation_files,
        output:
            parquet=flow.report.scores_parquet,
            csv=flow.report.scores_csv,
            runs=flow.report.runs_csv,
            agreement=report(
                flow.report.table("agreement"),
                caption="../report/agreement.rst",
                category="Agreement of the libraries",
            ),
            html=report(
                flow.report.html,
                caption="../report/page.rst",
                category="Report",
            ),
        priority: 3000
        resources:
            mem_mb=ask.mem_mb("report"),
            runtime=ask.minutes("report"),
        params:
            settings=flow.reporting_settings,
            experiment=flow.path,
            only=flow.only,
        shell:
            "tdbench report {params.experiment:q} {params.only} --part page --results {W.results:q}"

    rule:
        name:
            f"track_{flow.name}"
        input:
            flow.report.html,
        output:
            flow.report.tracked,
        priority: 3000
        resources:
            mem_mb=ask.mem_mb("report"),
            runtime=ask.minutes("report"),
        params:
            store=flow.tracking_key,
            experiment=flow.path,
            only=flow.only,
        shell:
            "tdbench track {params.experiment:q} {params.only} --results {W.results:q}"
