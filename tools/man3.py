#!/usr/bin/env python3
"""prong(3) from the comments of prong.h, so that they are written once."""
import re
import sys


def roff(text):
    return text.replace("\\", "\\e").replace("-", "\\-")


def plain(comment):
    lines = [re.sub(r"^\s*\*? ?", "", line) for line in comment.strip().splitlines()]
    out = []
    for line in lines:
        line = roff(line.rstrip())
        out.append(("\\&" if line[:1] in ".'" else "") + line if line else ".PP")
    return "\n".join(out)


source = open(sys.argv[1]).read()
head = re.match(r"/\*(.*?)SPDX", source, re.S).group(1)
title, _, text = head.partition("\n")
print(f'.TH PRONG 3 "" "prong {sys.argv[2]}" "Library Functions"')
print(".SH NAME\nlibprong \\- " + roff(title.split(" - ")[1].strip(" .")))
print(".SH SYNOPSIS\n.EX\n#include <prong.h>\n\ncc ... \\-lprong\n.EE")
print(".SH DESCRIPTION\n" + plain(re.sub(r"^\s*\*\s*\n", "", text)))
print(".SH FUNCTIONS")
for comment, proto in re.findall(r"/\*((?:[^*]|\*(?!/))*)\*/\n((?:int|int64_t|void|unsigned) "
                                 r"prong_\w+\([^;]*\);)", source):
    print(".TP\n.B " + roff(" ".join(proto.split())))
    print(plain(comment).replace(".PP", ".IP"))
print(".SH CONSTANTS AND STRUCTURES\n.EX")
body = source[source.index("/* ---- flags of a pool"):source.index("/* Make a pool.")]
print("\n".join("\\&" + roff(line) for line in body.expandtabs(4).rstrip().splitlines()))
print(".EE\n.SH SEE ALSO\n.BR prong (1)")
