"""A setting of the Kubernetes executor that a profile cannot change."""

from snakemake_interface_executor_plugins.registry import ExecutorPluginRegistry

KUBERNETES = "kubernetes"


def let_pods_share_a_volume() -> None:
    """Make Snakemake's --shared-fs-usage work on Kubernetes.

    The executor assumes that pods share no files and requires a storage provider. That would copy the declared outputs
    of rules, but the files of runs are not declared. With a volume that all pods mount, nothing has to be copied.
    Call this while the Snakefile is read. It does nothing if the plug-in is not installed.
    """
    registry = ExecutorPluginRegistry()
    if registry.is_installed(KUBERNETES):
        registry.get_plugin(KUBERNETES).common_settings.implies_no_shared_fs = False
