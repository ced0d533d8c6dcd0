"""Two machines that are processes of this one, and a scheduler that is a few lines of Python."""

import os
import socket
import subprocess
import sys
from pathlib import Path

from helpers.commands import ROOT

SRUN = f"""#!{sys.executable}
# As SLURM's srun: starts the command once for each task; SIGTERM goes to all; the first that fails ends the others.
import os, pathlib, signal, subprocess, sys, time
count = int(os.environ["SLURM_NTASKS"])
number = [{{"SLURM_PROCID": str(task), "SLURM_LOCALID": "0", "SLURM_NODEID": str(task)}} for task in range(count)]
command = sys.argv[1:]
while command[0].startswith("--"):
    del command[0]
tasks = [subprocess.Popen(command, env=os.environ | own) for own in number]
signal.signal(signal.SIGTERM, lambda *_: [task.terminate() for task in tasks])
pathlib.Path(os.environ["PIDS"]).write_text(" ".join(str(pid) for pid in [os.getpid(), *(t.pid for t in tasks)]))
while all(task.poll() in (None, 0) for task in tasks) and any(task.poll() is None for task in tasks):
    time.sleep(0.1)
for second in range(100):
    if any(task.poll() is None for task in tasks):
        time.sleep(0.1)
for task in tasks:
    task.kill()
codes = [task.wait() for task in tasks]
sys.exit(max(code if code >= 0 else 128 - code for code in codes))
"""
SCONTROL = """#!/bin/sh
echo "scontrol $*"
"""


def free_port() -> int:
    """A port of this machine that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(folder: Path, log: str, *command: object, **variables: object) -> subprocess.Popen:
    """Start a command in the repository, its output in `folder`/`log`, with `srun` and `scontrol` on its path."""
    tools = folder / "tools"
    for name, text in (("srun", SRUN), ("scontrol", SCONTROL)):
        tools.mkdir(exist_ok=True)
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    path = f"{tools}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    own = {"PATH": path, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "src"), "PIDS": str(folder / "pids")}
    variables = {name: str(value) for name, value in variables.items()}
    with (folder / log).open("w") as output:
        how = {"cwd": ROOT, "stdout": output, "stderr": output, "start_new_session": True}
        return subprocess.Popen([*map(str, command)], env=os.environ | own | variables, **how)


def slurm(tasks: int) -> dict[str, object]:
    """The variables of a job with one task on each of so many machines."""
    return {
        "SLURM_JOB_ID": 7,
        "SLURM_JOB_NAME": "synctrack",
        "SLURM_NTASKS": tasks,
        "SLURM_NTASKS_PER_NODE": 1,
        "SLURM_CPUS_PER_TASK": 1,
        "SLURM_NNODES": tasks,
        "SLURM_NODELIST": "localhost",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": free_port(),
    }
