#!/usr/bin/env python3
"""Run the kit; fail if a case fails that is not in `known`, or if one there passes."""
import pathlib
import re
import subprocess
import sys

here = pathlib.Path(__file__).resolve().parent
known = {line.split()[0] for line in (here / "known").read_text().splitlines()
         if line.strip() and not line.startswith("#")}
kit = subprocess.run([sys.executable, here / "run", "--candidate", sys.argv[1],
                      "--xargs-candidate", sys.argv[1] + " --as-xargs", *sys.argv[2:]],
                     stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
failed = set(re.findall(r"^FAIL (\S+)", kit.stdout, re.M))
for line in kit.stdout.splitlines():
    if not line.startswith("FAIL") or line.split()[1] not in known:
        print(line)
whole = len(sys.argv) == 2
if failed - known:
    sys.exit(f"failed: {' '.join(sorted(failed - known))}")
if whole and known - failed:
    sys.exit(f"listed in 'known', but passed: {' '.join(sorted(known - failed))}")
if not re.search(r"^\d+ passed, \d+ failed$", kit.stdout, re.M):
    sys.exit("the kit did not finish")
