#!/usr/bin/env python3
"""Compare what libprong promises with what is recorded: symbols, constants, layouts.

usage: abi.py [--update] HEADER LIBRARY RECORD
A line that is gone or different breaks programs that were built before: then the soname must
change.  New lines are no breach, but are to be recorded on purpose: --update (make abi).
Only for machines whose layouts are those of x86-64 (LP64); elsewhere only symbols are compared.
"""
import os
import re
import struct
import subprocess
import sys
import tempfile

from header import parse


def symbols(library):
    out = subprocess.run(["nm", "-D", "--defined-only", library], check=True,
                         stdout=subprocess.PIPE, text=True).stdout
    return sorted("symbol " + line.split()[2] for line in out.splitlines()
                  if line.split()[1] != "A")


def names(text):
    """The fields of a struct or the members of an enum."""
    body = re.sub(r"/\*.*?\*/", "", text[text.index("{") + 1:text.rindex("}")], flags=re.S)
    if text.startswith("enum"):
        return re.findall(r"\b([A-Z]\w+)\b(?=\s*(?:=[^,]*)?(?:,|\s*$))", body)
    fields = []
    for decl in body.split(";"):
        function = re.search(r"\(\*(\w+)\)", decl)
        if function:
            fields.append(function.group(1))
        elif decl.strip():
            fields += [re.search(r"(\w+)\s*(?:\[[^]]*\])?$", part.strip()).group(1)
                       for part in decl.split(",")]
    return fields


def program(items):
    lines = ["#include <prong.h>", "#include <stdio.h>", "int main(void) {"]
    for i in items:
        if i.kind == "struct":
            lines.append(f'printf("struct {i.name} size %zu\\n", sizeof(struct {i.name}));')
            lines += [f'printf("struct {i.name} {f} at %zu size %zu\\n", offsetof(struct {i.name}, {f}),'
                      f' sizeof(((struct {i.name} *)0)->{f}));' for f in names(i.text)]
        elif i.kind == "enum":
            lines += [f'printf("constant {n} %lld\\n", (long long){n});' for n in names(i.text)]
    return "\n".join(lines + ["return 0; }"])


def layouts(header, items):
    with tempfile.TemporaryDirectory() as d:
        with open(f"{d}/abi.c", "w") as f:
            f.write(program(items))
        subprocess.run([os.environ.get("CC", "cc"), "-I", os.path.dirname(header) or ".",
                        "-o", f"{d}/abi", f"{d}/abi.c"], check=True)
        return subprocess.run([f"{d}/abi"], check=True, stdout=subprocess.PIPE,
                              text=True).stdout.splitlines()


def main(argv):
    update = argv[:1] == ["--update"]
    header, library, record = argv[update:]
    _, items = parse(header)
    now = symbols(library)
    lp64 = struct.calcsize("P") == 8 and os.uname().machine == "x86_64"
    if lp64:
        now += layouts(header, items)
    if update:
        with open(record, "w") as f:
            f.write("\n".join(now) + "\n")
        return 0
    recorded = [line for line in open(record).read().splitlines()
                if lp64 or line.startswith("symbol ")]
    gone = [line for line in recorded if line not in set(now)]
    new = [line for line in now if line not in set(recorded)]
    for line in gone:
        print(f"gone or changed: {line}")
    for line in new:
        print(f"not recorded: {line}")
    if gone:
        print("Programs built against the recorded library break: change the soname, or undo it.")
    if gone or new:
        print("To record what there is now: make abi")
    declared = {"symbol " + i.name for i in items if i.kind == "function"
                and not i.text.startswith("static")}
    exported = {line.split("@")[0] for line in now if line.startswith("symbol ")}
    missing = declared - exported
    extra = exported - declared
    for name in sorted(missing):
        print(f"declared, not exported: {name}")
    for name in sorted(extra):
        print(f"exported, not declared: {name}")
    return bool(gone or new or missing or extra)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
