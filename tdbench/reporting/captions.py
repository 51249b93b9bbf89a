"""Captions of tables and figures."""

from tdbench.experiment.metrics import METRICS, direction, label, lower_is_better
from tdbench.experiment.plan import Plan
from tdbench.reporting import tables


def metric_title(metric: str) -> str:
    """``FID (lower is better)``."""
    return f"{label(metric)} ({'lower' if lower_is_better(metric) else 'higher'} is better)"


LIMITS = (
    "A training that has not been shown to have flattened says nothing about the method: “better” becomes “undecided: "
    "still learning”, and “worse” becomes “worse so far”. “Saturated”: perfect samplers would score as both sides do "
    "with so few samples (“floor” is their mean)."
)
COMPARISON_CAPTION = (
    "TD and its baseline at equal images: mean ± standard deviation over seeds. A run's score is its mean over the "
    f"last snapshots; {direction(list(METRICS))}. Differences are paired by seed, with Student's 95 % interval. Some "
    "of many intervals exclude zero by chance, so p and verdict are corrected for the number of rows of the same "
    "metric and library (Benjamini and Hochberg): at most 5 % of all “better” and “worse” are expected to be false. "
    "“Seeds to decide” estimates how many seeds would decide an undecided row in 80 % of cases, if difference and "
    f"spread are as measured. {LIMITS}"
)
EQUAL_PASSES_CAPTION = (
    "The same comparison at equal passes: the baseline is trained for longer, until as many images have passed "
    "through the networks as in the objective's training (1 for a forward pass, 2 for a backward pass). Each side's "
    "score is its mean over the snapshots of the last part of its own training. What a distance's own network costs "
    "is not in the passes, but in the seconds of the table of cost. Verdicts as at equal images."
)
OVERALL_CAPTION = (
    "All comparisons in a few numbers. Mean change: geometric mean of the score over the baseline's, paired by "
    "seed, with Student's 95 % interval over seeds. Interquartile mean: the same over the middle half of all ratios "
    "of seeds and comparisons. Probability of improvement: that a random run of the objective scores better than "
    "one of its baseline, mean over comparisons (both as in Agarwal et al. 2021)."
)
CURVES_CAPTION = (
    "Scores in the course of training: mean ± standard deviation over seeds, from fewer samples than the scores of "
    "the comparison and from single snapshots. Differences to the baseline are paired by seed, with Student's 95 % "
    "interval, not corrected for their number. “At equal passes”: the baseline's curve at as many passes through "
    "the networks, interpolated in the logarithms."
)
LEVELS_CAPTION = (
    "How many passes through the networks an objective needs to reach what the baseline's mean curve reaches after "
    "50, 75 and 100 % of its budget, over what the baseline needs: below 1 is faster. Both curves are means over "
    "seeds, made monotone. In brackets the jackknife's 95 % interval over seeds; with fewer than five seeds the "
    "range over seeds. “>”: the level is not reached in the objective's training."
)
LEARNING_CAPTION = (
    "Would twice the length still improve the score? By each curve's own last third, extrapolated as a power of the "
    "images shown, with the 90 % interval. A training has flattened if the interval lies below 10 %."
)
FLOOR_CAPTION = (
    "The floor of FID: what perfect samplers would score, mean ± standard deviation over 20 draws. “Normal "
    "distribution”: samples from the normal distribution with the mean and covariance of the reference's features. "
    "“The data's own images”: so many images against the rest of the data, where there are as many. A score up to "
    "the larger mean plus 2 standard deviations is saturated: it cannot be told from a perfect one."
)
FINAL_CAPTION = (
    "The comparison at equal images by the last snapshot only. A single snapshot varies more than the mean over the "
    "last snapshots, from which the verdicts about TD come."
)
NEAREST_CAPTION = (
    "Are samples copies of the data? The share of samples (last snapshot, largest budget) that lie near an image of "
    "the data, by the features of the scores. “Near”: within the distance at which 1 % of the images have another "
    "image. About 1 % is normal; a network that repeats its training images has much more. “Nearest of all” is the "
    "smallest distance in units of “near”: 0 is a copy. Mean ± standard deviation over seeds."
)
CONSISTENCY_CAPTION = (
    "Cross-time consistency of the last snapshot: what TD training reduces. It does not measure image quality. "
    "Residual: w‖δ‖² of the averaged network with itself as target, on images of the data, mean over the times of the "
    "grid, with the paper's settings of the formulation for all runs. Moves: squared changes of the estimate D between "
    "evaluations of the sampler, summed over the path. Mean ± standard deviation over seeds; paired by seed and "
    "corrected like the scores."
)
MECHANISM_CAPTION = (
    "Why TD can help, at the end of training, by noise level. e = x0 − D(x_t) and e' = x0 − D(x_t') are errors of the "
    "averaged network; the gradient is proportional to e − βe', so e' is a control variate. “Share of training”: of "
    "the training times. var(e)/c_out²: variance of the baseline's gradient. β: of TD's settings; best β removes most. "
    "Size: factor of the gradient beside the baseline's. Target's lag: E‖D − D'‖²/var(e) of the trained network and "
    "its target; in a baseline's training a target follows that is not evaluated. Gradient noise: trace of the "
    "covariance of a batch's gradient over its squared mean, at the same weights, for small networks. Means over "
    "seeds; ± is the standard deviation."
)
COST_CAPTION = (
    "Cost of training. Forward passes a step are those of the last step. Passes are counted: each image that passes "
    "through a network, 1 for a forward pass and 2 for a backward pass. A distance with its own network (LPIPS) costs "
    "more, which only the seconds show. Runs that share a machine slow each other. Memory is the GPU's peak during "
    "training; on a CPU it is the memory that the process holds at the end, which may include memory of other runs in "
    "the same process."
)
COST_QUALITY_CAPTION = (
    "Cost against quality: scores, training time and memory of TD as multiples of its baseline's, one row for each "
    "step budget, with the interval of the paired difference. Below 1: less time, less memory, and a better score "
    f"({direction(list(METRICS))})."
)
PUBLISHED_CAPTION = (
    "Published figures beside ours for the same data set, formulation, objective and budget; mean ± standard deviation "
    "over seeds. “Reproduced”: the published figure lies in our 95 % prediction interval for one more training, and "
    "that interval is no wider than ±5 % of the figure. “Not reproduced”: it lies outside. Figures are comparable only "
    "under the same protocol: features and resize, number of images, snapshots, and network and learning rate where "
    "they are known. “Resize” is the published figure's resize before Inception. Where a network is only described in "
    "words, judge for yourself."
)
AGREEMENT_CAPTION = "Both libraries on the same samples with the same features, over all sample sets."


def ablation_caption(plan: Plan, name: str) -> str:
    text = " ".join(plan.experiment.ablations[name].description.split()) or f"Ablation {name}"
    compared = (
        "“Better” and “worse” compare with the baseline, paired by seed and corrected for the number of comparisons in "
        "this table: at most 5 % of them are expected to be false."
        if tables.varies_objective_only(plan, name)
        else "The baseline has the base settings, so there is no comparison with it."
    )
    means = (
        "mean ± standard deviation over seeds; a run's score is its mean over the last snapshots; "
        f"{direction(list(METRICS))}"
    )
    predicted = " ".join(plan.experiment.ablations[name].prediction.split())
    return f"{text}: {means}. {compared}" + (f" Predicted: {predicted}" if predicted else "")
