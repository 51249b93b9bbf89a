"""A real SLURM on this machine: its daemons on loopback, in a folder of their own, for as long as a test lasts."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import psutil

PACKAGES = ("slurmctld", "slurmd", "slurm-client", "munge")
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol", "scancel")
INSTALL_S, START_S, STOP_S, CALL_S = 120, 30, 20, 30
"""Seconds that an installation, a start, an end and a client's call may take."""

# Two GPUs that are devices of another kind: SLURM hands them out and says so to the job, and nothing opens them.
# A job that is requeued waits until its credential has expired, hence the short life of those.
CONFIGURATION = """
ClusterName=tdbench
SlurmctldHost=localhost(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/run/munge.socket,cred_expire=10
CredType=cred/munge
SlurmctldPort={controller_port}
SlurmdPort={node_port}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/run/slurmctld.pid
SlurmdPidFile={folder}/run/slurmd.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd.log
MpiDefault=none
MailProg=/bin/true
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
GresTypes=gpu
ReturnToService=2
MinJobAge=300
KillWait=30
SlurmdParameters=config_overrides
NodeName=localhost NodeAddr=127.0.0.1 CPUs=2 Boards=1 SocketsPerBoard=1 CoresPerSocket=2 ThreadsPerCore=1 \
 RealMemory=64000 Gres=gpu:2 State=UNKNOWN
PartitionName=main Nodes=localhost Default=YES MaxTime=1-00:00:00 PriorityTier=1 State=UP
PartitionName=urgent Nodes=localhost MaxTime=01:00:00 PriorityTier=2 State=UP
"""


def why_not_installed() -> str | None:
    """Why SLURM cannot run here; Debian's packages are installed if they are missing and this user may."""
    if os.getuid() != 0:
        return "SLURM's daemons need root here"
    if all(map(shutil.which, PROGRAMS)):
        return None
    if shutil.which("apt-get") is None:
        return "SLURM is not installed, and there is no apt-get"
    command = ["apt-get", "install", "-y", "--no-install-recommends", *PACKAGES]
    env = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=INSTALL_S)
    except subprocess.TimeoutExpired:
        return f"apt-get did not install {' '.join(PACKAGES)} within {INSTALL_S} s"
    if done.returncode != 0 or not all(map(shutil.which, PROGRAMS)):
        return f"apt-get does not install {' '.join(PACKAGES)}: {done.stderr.strip()[-200:]}"
    return None


class Slurm:
    """Controller and one node of two cores; a context manager that ends all that it began."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.configuration = folder, folder / "slurm.conf"
        self.environment = os.environ | {
            "SLURM_CONF": str(self.configuration),
            "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
        }
        self._begun = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            undo.callback(self._end)
            self._write()
            run, munge = self.folder / "run", self.folder / "munge"
            self._begin(
                "munged",
                "--foreground",
                "--force",
                f"--key-file={munge / 'munge.key'}",
                f"--socket={run / 'munge.socket'}",
                f"--pid-file={run / 'munged.pid'}",
                f"--log-file={self.folder / 'log' / 'munged.log'}",
                f"--seed-file={munge / 'munge.seed'}",
            )
            self.wait((run / "munge.socket").exists, "munged listens")
            self._begin("slurmctld", "-D", "-c", "-f", str(self.configuration))
            self._begin("slurmd", "-D", "-c", "-N", "localhost", "-f", str(self.configuration))
            self.wait(lambda: self.call("sinfo", "-h", "-o", "%T", check=False).startswith("idle"), "the node is idle")
            undo.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def call(self, *command: str, check: bool = True) -> str:
        """What one of SLURM's client programs prints."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=CALL_S)
        assert done.returncode == 0 or not check, f"{command}: {done.stderr}\n{self.logs()}"
        return done.stdout

    def jobs(self) -> dict[str, dict[str, str]]:
        """All jobs that it still knows, by id: what `scontrol show job` says of each."""
        blocks = self.call("scontrol", "show", "job", "-d").split("\n\n")
        found = [dict(word.partition("=")[::2] for word in block.split() if "=" in word) for block in blocks]
        return {job["JobId"]: job for job in found if "JobId" in job}

    def wait(self, condition: Callable[[], bool], what: str, seconds: float = START_S) -> None:
        """Wait until something is so, and fail with the daemons' logs if it does not come to that."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"not within {seconds:g} s: {what}\n{self.logs()}"
            time.sleep(0.1)

    def logs(self) -> str:
        """The ends of the daemons' logs."""
        return "\n".join(f"{path.name}: {path.read_text()[-1500:]}" for path in self.folder.glob("log/*.log"))

    def _write(self) -> None:
        for name in ("state", "spool", "log", "run", "munge", "bin"):
            (self.folder / name).mkdir(mode=0o700, parents=True)
        (self.folder / "munge" / "munge.key").write_bytes(os.urandom(1024))
        (self.folder / "munge" / "munge.key").chmod(0o600)
        with socket.socket() as first, socket.socket() as second:
            ports = []
            for one in (first, second):
                one.bind(("127.0.0.1", 0))
                ports.append(one.getsockname()[1])
        text = CONFIGURATION.format(folder=self.folder, controller_port=ports[0], node_port=ports[1])
        self.configuration.write_text(text.replace("\\\n", ""))
        gpus = "".join(f"NodeName=localhost Name=gpu File={device}\n" for device in ("/dev/null", "/dev/zero"))
        (self.folder / "gres.conf").write_text(gpus)
        # Within a job Snakemake takes SLURM's variables out of srun's environment, also where the configuration is.
        srun = self.folder / "bin" / "srun"
        srun.write_text(f'#!/bin/sh\nSLURM_CONF={self.configuration} exec {shutil.which("srun")} "$@"\n')
        srun.chmod(0o755)

    def _begin(self, *command: str) -> None:
        """Start a daemon in the foreground; it ends with this process, also if that is killed."""
        with (self.folder / "log" / f"{command[0]}.out.log").open("w") as said:
            process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", *command],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
            )
        self._begun.callback(_end_process, process)

    def _end(self) -> None:
        with self._begun:
            try:
                self.call("scancel", "--user", "root", check=False)
                self.wait(lambda: not self.call("squeue", "-h", check=False), "no job is left", STOP_S)
            except (AssertionError, subprocess.TimeoutExpired) as error:
                print(error, file=sys.stderr)
        for process in self._left():
            process.kill()

    def _left(self) -> list[psutil.Process]:
        """Processes of jobs, which outlive the daemons: theirs is the environment with this configuration."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("SLURM_CONF") == str(self.configuration):
                    found.append(process)
            except psutil.Error:
                continue
        return found


def _end_process(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
