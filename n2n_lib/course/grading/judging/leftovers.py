"""Folders for temporary files, and what runs that were killed have left of them."""

from __future__ import annotations

import os
import re
import shutil
import stat
import tempfile
import time
from pathlib import Path

import psutil

PREFIX = "n2n-grade-"
OLD = 3600
"""Seconds after which a folder whose process is gone counts as left behind."""


def temporary_folder() -> tempfile.TemporaryDirectory:
    """Make a folder that names this process, so that others see whether it is in use."""
    return tempfile.TemporaryDirectory(prefix=f"{PREFIX}{os.getpid()}-", ignore_cleanup_errors=True)


def remove_leftovers() -> None:
    """Remove this user's folders that are older than an hour, and whose process is gone."""
    if os.name == "nt":  # files have no user there
        return
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        owner = re.match(rf"{PREFIX}(\d+)-", folder.name)
        try:
            about = folder.lstat()
        except OSError:  # another run removes it
            continue
        ours = stat.S_ISDIR(about.st_mode) and about.st_uid == os.getuid()
        if ours and owner and time.time() - about.st_mtime > OLD:
            if not psutil.pid_exists(int(owner[1])):
                shutil.rmtree(folder, ignore_errors=True)
