"""What a Snakemake executor needs beyond a profile."""

from snakemake_interface_executor_plugins.registry import ExecutorPluginRegistry

KUBERNETES = "kubernetes"


def let_pods_share_a_volume() -> None:
    """Let Snakemake's --shared-fs-usage hold on Kubernetes too.

    The executor takes it for granted that pods share nothing and asks for a storage provider, which would carry what
    rules declare; the files of runs are not declared. With a volume that all pods mount nothing has to be carried.
    Must be called while the Snakefile is read; without the plug-in it does nothing.
    """
    registry = ExecutorPluginRegistry()
    if registry.is_installed(KUBERNETES):
        registry.get_plugin(KUBERNETES).common_settings.implies_no_shared_fs = False
