"""When and where a result was measured: kept beside every figure."""

from __future__ import annotations

import os
import platform
import shlex
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def measured(*packages: str) -> dict[str, str]:
    """Date, command, processor, memory, Python and the versions of what was measured with."""
    command = ["python", f"benchmarks/{Path(sys.argv[0]).name}"]
    command += [Path(word).name if "/" in word else word for word in sys.argv[1:]]
    gigabytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    versions = [f"Python {platform.python_version()}"]
    for package in packages:
        try:
            versions.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "command": shlex.join(command),
        "hardware": f"{os.cpu_count()} cores of {_processor()}, {gigabytes:.0f} GB, {platform.system()}",
        "software": ", ".join(versions),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
