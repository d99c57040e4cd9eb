"""prong.h as a list of what it declares, each with the comment that belongs to it."""
import re


class Item:
    def __init__(self, kind, name, text, comment):
        self.kind, self.name, self.text, self.comment = kind, name, text, comment


def plain(comment):
    """The words of a comment, as lines; what is set in keeps its two blanks or tab before it."""
    body = re.sub(r"^/\*|\*/$", "", comment)
    lines = [re.sub(r"^\s*\* ?", "", line).rstrip() for line in body.splitlines()]
    lines = [line if line.strip("- ") else "" for line in lines]
    return [re.sub(r"^ (?! )", "", line) if i else line.strip(" -") for i, line in enumerate(lines)]


DECLARATION = re.compile(
    r"#define (?P<macro>\w+).*?(?<!\\)\n|"
    r"(?P<kind>enum|struct) (?P<type>\w+) \{.*?\n\};|"
    r"struct (?P<opaque>\w+);|"
    r"typedef [^;]*?(?P<typedef>\w+)\)?(?:\([^;]*)?;|"
    r"(?:static inline )?[\w ]+?[ *](?P<function>prong_\w+)\([^;{]*\)\s*(?:;|\{.*?\n\})", re.S)


def parse(path):
    source = open(path).read()
    at = source.index("*/") + 2
    head, items, comment, above = source[2:at - 2], [], None, None
    while at < len(source):
        rest = source[at:]
        blank = re.match(r"[ \t]*\n", rest)
        if blank:
            if source[at - 1] == "\n":
                comment = above = None
            at += blank.end()
            continue
        m = re.match(r"\s*(/\*.*?\*/)", rest, re.S)
        if m:
            comment = m.group(1)
            at += m.end()
            continue
        m = DECLARATION.match(rest)
        if not m:
            at += re.match(r"[^\n]*\n?", rest).end()
            comment = above = None
            continue
        at += m.end()
        text = m.group(0).rstrip()
        trailing = re.match(r"[ \t]*(/\*.*?\*/)", source[at:], re.S)
        if trailing and not m["macro"]:
            at += trailing.end()
            comment = comment or trailing.group(1)
        elif m["macro"]:
            comment = comment or (re.search(r"/\*.*?\*/", text) or [None])[0]
            at -= 1  # its newline
        own = comment or above
        kind = next(k for k in ("macro", "type", "opaque", "typedef", "function") if m[k])
        items.append(Item(m["kind"] or kind, m[kind], text, own))
        above, comment = own, None
    return head, items
