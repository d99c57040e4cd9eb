#!/usr/bin/env python3
"""prong(3), and a page for each function, from the comments of prong.h.

usage: man3.py HEADER VERSION DATE DIRECTORY README   write the pages; the example is README's
       man3.py --list HEADER                   the names of the pages
       man3.py --check HEADER                  name what has no comment; status 1 if any
"""
import re
import sys

from header import parse, plain


def roff(text):
    return text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")


def line(text):
    text = roff(text)
    return "\\&" + text if text[:1] in (".", "\\") and not text.startswith("\\-") else text


def paragraphs(comment, mark=".PP"):
    out, gap, asis = [], False, False
    for words in plain(comment):
        if words:
            set_in = words.startswith(("  ", "\t"))
            if set_in != asis:
                out.append(".EX" if set_in else ".EE")
                gap = False
            asis = set_in
            out += [mark] * (gap and bool(out)) + ["\\&" + roff(words) if set_in else line(words)]
        gap = not words
    return "\n".join(out + [".EE"] * asis)


def summary(item):
    words = re.sub(r"\s*\([^()]*\)", "", " ".join(plain(item.comment)))
    first = re.split(r"(?<=\w)[.;:](?:\s|$)", re.sub(r"\s+", " ", words).strip())[0]
    while len(first) > 68 and re.search(r"[ ,(][^ ]*$", first):
        first = re.sub(r"[ ,(]+[^ ]*$", "", first)
    return first if first[1:2].isupper() else first[:1].lower() + first[1:]


def code(text):
    return ".EX\n" + "\n".join("\\&" + roff(t) for t in text.expandtabs(4).splitlines()) + "\n.EE"


def types_of(function, items):
    """What its prototype names, and what that names."""
    by_name = {i.name: i for i in items if i.kind in ("struct", "enum")}
    found, todo = [], [function.text]
    while todo:
        for name in re.findall(r"(?:struct|enum) (\w+)", todo.pop(0)):
            item = by_name.get(name)
            if item and item not in found:
                found.append(item)
                todo.append(item.text + (item.comment or ""))
    return found


def with_comment(item):
    own = item.comment and not item.comment.startswith("/* ----")
    return (item.comment + "\n" if own else "") + item.text


def page(function, items, title):
    out = [title(function.name), ".SH NAME", f"{roff(function.name)} \\- {roff(summary(function))}",
           ".SH SYNOPSIS", code("#include <prong.h>\n\n" + function.text), ".PP",
           "Link with \\fI\\-lprong\\fR.", ".SH DESCRIPTION", paragraphs(function.comment)]
    if function.text.startswith(("int ", "int64_t ")):
        out += [".SH RETURN VALUE",
                "0 or a positive number is success, a negative errno is failure; \\fIerrno\\fR "
                "itself is unspecified.", ".BR prong_strerror (3)", "has the text."]
    types = types_of(function, items)
    if types:
        out += [".SH TYPES", code("\n\n".join(with_comment(t) for t in types))]
    return "\n".join(out + [".SH SEE ALSO", ".BR prong (3)", ""])


def example(readme):
    """The first C program of the README."""
    with open(readme) as f:
        return f.read().partition("```c\n")[2].partition("```")[0]


def overview(head, items, title, program):
    text, _, _ = head.partition("SPDX")
    name, _, rest = text.partition("\n")
    functions = [i for i in items if i.kind == "function"]
    out = [title("PRONG"), ".SH NAME", "prong \\- " + roff(name.split(" - ")[1].strip(" .")),
           ".SH SYNOPSIS", code("#include <prong.h>\n\ncc ... $(pkg-config --cflags --libs prong)"),
           ".SH DESCRIPTION", paragraphs("/*" + rest + "*/"), ".SH FUNCTIONS"]
    for f in functions:
        out += [".TP", f".BR {roff(f.name)} (3)", roff(summary(f))]
    out += [".SH CONSTANTS AND STRUCTURES",
            code("\n\n".join(with_comment(i) for i in items
                             if i.kind in ("enum", "struct") or i.name == "PRONG_SPEC"))]
    out += [".SH EXAMPLE", "At most five at a time:", ".PP", code(program)]
    return "\n".join(out + [".SH SEE ALSO", ".BR prong (1)", ""])


def undocumented(items):
    guards = ("PRONG_H",)
    return [i.name for i in items if i.name not in guards and
            not (i.comment and "".join(plain(i.comment)).strip())]


def main(argv):
    if argv[0] == "--list":
        names = [i.name for i in parse(argv[1])[1] if i.kind == "function"]
        print("\n".join(n + ".3" for n in ["prong"] + names))
        return 0
    if argv[0] == "--check":
        missing = undocumented(parse(argv[1])[1])
        for name in missing:
            print(f"{argv[1]}: {name} has no comment", file=sys.stderr)
        return len(missing) > 0
    path, version, date, out, readme = argv
    head, items = parse(path)

    def title(name):
        return f'.TH {roff(name)} 3 "{date}" "prong {version}" "Library Functions"'

    with open(f"{out}/prong.3", "w") as f:
        f.write(overview(head, items, title, example(readme)))
    for function in (i for i in items if i.kind == "function"):
        with open(f"{out}/{function.name}.3", "w") as f:
            f.write(page(function, items, title))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
