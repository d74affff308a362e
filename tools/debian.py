"""Installs Debian packages where that is possible, and says clearly where it is not."""

import os
import shutil
import subprocess


def install(packages: list[str], purpose: str) -> bool:
    """Install packages by apt-get, as root or by sudo without a password.

    Args:
        packages: their names.
        purpose: what needs them, for the message.

    Returns:
        Whether they are there now.
    """
    command = "apt-get install -y --no-install-recommends " + " ".join(packages)
    prefix = [] if os.geteuid() == 0 else ["sudo", "-n"]
    possible = shutil.which("apt-get") is not None and (
        not prefix
        or (
            shutil.which("sudo") is not None
            and subprocess.run(["sudo", "-n", "true"], capture_output=True).returncode == 0
        )
    )
    if possible:
        print(f"installing {' '.join(packages)} for {purpose}", flush=True)
        environment = ["env", "DEBIAN_FRONTEND=noninteractive"]
        options = ["-q", "-o", "DPkg::Lock::Timeout=120"]
        # An outdated list is no reason to stop: the install tells.
        subprocess.run([*prefix, "apt-get", "update", *options], stdout=subprocess.DEVNULL)
        status = subprocess.run(
            [*prefix, *environment, *command.split(), *options], stdout=subprocess.DEVNULL
        ).returncode
        if status == 0:
            return True
    print(f"{purpose}: please install what is missing by hand, on Debian or Ubuntu by:")
    print(f"    sudo {command}", flush=True)
    return False
