"""The tables and figures of a report: the name of each, its part of the report, and the functions that make it.

A row (`records.rows`) holds names only, so that the workflow knows every file without importing matplotlib. Functions
are given as ``module:name`` and imported when they are called. To add a table or a figure, write a function and add a
row here: workflow, writer, page, crates and documentation iterate over these rows.
"""

from tdbench.records.rows import Figure, Named, One, Table

_TABLES, _CAPTIONS = "tdbench.reporting.tables", "tdbench.reporting.captions"
_HISTORY = "tdbench.reporting.page.history"

TABLES: tuple[Table, ...] = (
    Table(
        "comparison",
        "comparison",
        "each objective beside its baseline, by step budget, metric and library",
        numbers=f"{_TABLES}:comparison",
        readable=f"{_TABLES}:readable_comparison",
        caption=f"{_CAPTIONS}:COMPARISON_CAPTION",
    ),
    Table(
        "comparison-equal-passes",
        "comparison",
        "the same with a baseline that is trained until it costs as many passes through the networks",
        numbers=f"{_TABLES}:comparison_at_equal_passes",
        readable=f"{_TABLES}:readable_comparison",
        caption=f"{_CAPTIONS}:EQUAL_PASSES_CAPTION",
    ),
    Table(
        "overall",
        "comparison",
        "mean, interquartile mean and probability of improvement over all comparisons",
        numbers="tdbench.reporting.answer:overall_table",
        readable="tdbench.reporting.answer:readable_overall",
        caption=f"{_CAPTIONS}:OVERALL_CAPTION",
    ),
    Table(
        "levels",
        "comparison",
        "passes until levels of the baseline's curve are reached: the speed-up",
        numbers="tdbench.reporting.levels:levels_table",
        readable="tdbench.reporting.levels:readable_levels",
        caption=f"{_CAPTIONS}:LEVELS_CAPTION",
    ),
    Table(
        "learning",
        "comparison",
        "whether trainings have flattened, by their own curves",
        numbers="tdbench.reporting.learning:learning_table",
        readable="tdbench.reporting.learning:readable_learning",
        caption=f"{_CAPTIONS}:LEARNING_CAPTION",
    ),
    Table(
        "floor",
        "comparison",
        "the FID of perfect samplers with as many samples",
        numbers="tdbench.reporting.limits:floor_table",
        readable="tdbench.reporting.limits:readable_floor",
        caption=f"{_CAPTIONS}:FLOOR_CAPTION",
    ),
    Table(
        "curves",
        "comparison",
        "scores in the course of training, with the differences at equal images and at equal passes",
        numbers="tdbench.reporting.curves:curve_table",
        readable="tdbench.reporting.curves:readable_curves",
        caption=f"{_CAPTIONS}:CURVES_CAPTION",
    ),
    Table(
        "comparison-final",
        "comparison",
        "the comparison at equal images by the last snapshot only",
        numbers=f"{_TABLES}:comparison_final",
        readable=f"{_TABLES}:readable_comparison",
        caption=f"{_CAPTIONS}:FINAL_CAPTION",
    ),
    Table(
        "cost",
        "comparison",
        "forward passes, time and memory of training beside the baseline's",
        numbers="tdbench.reporting.cost:cost",
        caption=f"{_CAPTIONS}:COST_CAPTION",
    ),
    Table(
        "cost-against-quality",
        "comparison",
        "scores, time and memory as multiples of the baseline's",
        numbers="tdbench.reporting.cost:cost_of_quality",
        readable="tdbench.reporting.cost:readable_cost_against_quality",
        caption=f"{_CAPTIONS}:COST_QUALITY_CAPTION",
    ),
    Table(
        "consistency",
        "comparison",
        "cross-time residual, and how far the estimate moves along the sampling path",
        numbers=f"{_TABLES}:consistency",
        readable=f"{_TABLES}:readable_consistency",
        caption=f"{_CAPTIONS}:CONSISTENCY_CAPTION",
    ),
    Table(
        "mechanism",
        "comparison",
        "variance of the gradient by noise level, what TD removes, and how far its target lags",
        numbers="tdbench.reporting.mechanism:mechanism_table",
        readable="tdbench.reporting.mechanism:readable_mechanism",
        caption=f"{_CAPTIONS}:MECHANISM_CAPTION",
    ),
    Table(
        "nearest",
        "comparison",
        "share of samples that lie near an image of the data",
        numbers="tdbench.reporting.nearest:nearest",
        readable="tdbench.reporting.nearest:readable_nearest",
        caption=f"{_CAPTIONS}:NEAREST_CAPTION",
    ),
    Table(
        "ablation",
        "ablations",
        "every case of an ablation beside the baseline",
        each="ablation",
        numbers=f"{_TABLES}:ablation",
        readable=f"{_TABLES}:readable_ablation",
        caption=f"{_CAPTIONS}:ablation_caption",
    ),
    Table(
        "agreement",
        "page",
        "how far two libraries differ on the same samples with the same features",
        numbers=f"{_TABLES}:agreement_of_libraries",
        readable=f"{_TABLES}:readable_agreement",
        caption=f"{_CAPTIONS}:AGREEMENT_CAPTION",
    ),
    Table(
        "published",
        "page",
        "published figures beside those of the experiment",
        numbers="tdbench.reporting.published:published",
        caption=f"{_CAPTIONS}:PUBLISHED_CAPTION",
        on_disk=False,
    ),
    Table(
        "data",
        "page",
        "size, classes, checksum and features of each data set",
        numbers="tdbench.reporting.page.facts:data",
        caption="Data",
        on_disk=False,
    ),
    Table(
        "failures",
        "page",
        "runs that are not done, and trainings that were interrupted",
        numbers=f"{_HISTORY}:failures",
        caption="Runs that are not done, and trainings that were interrupted",
        on_disk=False,
    ),
    Table(
        "hardware",
        "page",
        "the machines that trained",
        numbers=f"{_HISTORY}:hardware",
        caption="Hardware of the trainings",
        on_disk=False,
    ),
    Table(
        "versions",
        "page",
        "versions of the libraries that results depend on",
        numbers=f"{_HISTORY}:library_versions",
        caption="Versions",
        on_disk=False,
    ),
    Table(
        "runs",
        "page",
        "size, cost, commit and data of every run",
        numbers="tdbench.reporting.page.facts:runs",
        caption="Runs",
        on_disk=False,
    ),
    Table(
        "times",
        "page",
        "begin and end of every stage of every run",
        numbers=f"{_HISTORY}:stage_times",
        caption="Times (UTC) of the last attempt at each stage",
        on_disk=False,
    ),
)
"""In the order of the documentation."""

_FIGURES, _WORDS = "tdbench.reporting.figures", "tdbench.reporting.page.descriptions"

FIGURES: tuple[Figure, ...] = (
    Figure(
        "fid-against-nfe",
        "comparison",
        "the leading metric against NFE, and the paired differences",
        draw=f"{_FIGURES}:comparison",
        describe=f"{_WORDS}:comparison",
    ),
    Figure(
        "curves",
        "comparison",
        "the curve's metric against images, passes and seconds, and the paired differences",
        each="pair",
        draw="tdbench.reporting.curve_figures:curves",
        describe=f"{_WORDS}:curves",
    ),
    Figure(
        "cost-against-quality",
        "comparison",
        "the leading metric against training time and memory, as multiples of the baseline's",
        draw=f"{_FIGURES}:costs",
        describe=f"{_WORDS}:costs",
    ),
    Figure(
        "consistency",
        "comparison",
        "the cross-time residual by time of the grid",
        draw=f"{_FIGURES}:consistency",
        describe=f"{_WORDS}:consistency",
    ),
    Figure(
        "mechanism",
        "comparison",
        "variance of the gradient by noise level, what remains of it, lag and gradient noise",
        draw="tdbench.reporting.mechanism_figure:mechanism",
        describe="tdbench.reporting.mechanism_figure:describe",
    ),
    Figure(
        "training",
        "comparison",
        "losses and gradient norm against images shown",
        each="pair",
        draw=f"{_FIGURES}:training",
        describe=f"{_WORDS}:training",
    ),
    Figure(
        "samples",
        "comparison",
        "samples at every step budget, the same noise in the same place",
        each="pair",
        draw="tdbench.reporting.pictures:sample_grids",
        describe=f"{_WORDS}:samples",
    ),
    Figure(
        "nearest",
        "comparison",
        "samples that come nearest to an image of the data, above that image",
        each="pair",
        draw="tdbench.reporting.pictures:nearest_pairs",
        describe=f"{_WORDS}:nearest",
    ),
    Figure(
        "ablation",
        "ablations",
        "every case of an ablation against NFE",
        each="ablation",
        draw=f"{_FIGURES}:ablation",
        describe=f"{_WORDS}:ablation",
    ),
)


def find_table(name: str, plan: Named) -> tuple[Table, One]:
    """The table of that name.

    Raises
    ------
    LookupError
        If the experiment has none.
    """
    for row in TABLES:
        for one in row.of(plan):
            if one.name == name:
                return row, one
    raise LookupError(f"no table {name!r}")
