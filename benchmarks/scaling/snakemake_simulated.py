"""``python -m benchmarks.scaling.snakemake_simulated``: `snakemake` with ``--executor simulated``."""

from snakemake.cli import main
from snakemake_interface_executor_plugins.registry import ExecutorPluginRegistry

from benchmarks.scaling import executor

if __name__ == "__main__":
    ExecutorPluginRegistry().register_plugin("simulated", executor)
    main()
