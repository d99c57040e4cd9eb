"""Two children, each writes a file of its own."""
import os

import prong


def write(name):
    with open(name, "w") as f:
        f.write(f"written by process {os.getpid()}\n")
    return name


for name in prong.imap_unordered(write, ["one.txt", "two.txt"], jobs=2):
    print(f"{name} is ready")
