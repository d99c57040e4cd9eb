#!/usr/bin/env python3
"""The API of `import prong` as HTML, by pdoc.  usage: python_docs.py BUILDDIR OUTDIR

pdoc is taken from this interpreter, or installed by pip into BUILDDIR/venv-docs.  Where there
is neither it nor a network, the page is left out (status 0, with a line that says so).  A
public name without a docstring is a failure.
"""
import os
import pathlib
import subprocess
import sys


def with_pdoc(build):
    """Go on in an interpreter that has pdoc; come back if there is none."""
    inside = build / "venv-docs/bin/python"
    if not inside.exists():
        subprocess.run([sys.executable, "-m", "venv", build / "venv-docs"], capture_output=True)
    tried = subprocess.run([inside, "-c", "import pdoc"], capture_output=True) if inside.exists() else None
    if tried is None or tried.returncode:
        subprocess.run([inside, "-m", "pip", "install", "-q", "--timeout", "10", "--retries", "1", "pdoc"],
                       capture_output=True)
        tried = subprocess.run([inside, "-c", "import pdoc"], capture_output=True)
    if tried.returncode == 0 and not os.environ.get("PRONG_DOCS_AGAIN"):
        os.environ["PRONG_DOCS_AGAIN"] = "1"
        os.execv(inside, [str(inside), *sys.argv])


def undocumented(prong):
    for name in prong.__all__:
        obj = getattr(prong, name)
        if not obj.__doc__ and isinstance(obj, (type, type(main))) and obj.__module__.startswith("prong"):
            yield name
        for member, value in vars(obj).items() if isinstance(obj, type) else ():
            value = getattr(value, "fget", None) or getattr(value, "__func__", value)
            if callable(value) and not member.startswith("_") and not value.__doc__:
                yield f"{name}.{member}"


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    build, out = map(pathlib.Path, sys.argv[1:])
    here = pathlib.Path(__file__).resolve().parent.parent
    if not list((build / "python").glob("_prong*.so")):
        print("docs: this build has no Python module: its page is left out")
        return
    sys.path[:0] = [str(here / "python"), str(build / "python")]
    import prong

    missing = list(undocumented(prong))  # which also loads all of it
    if missing:
        sys.exit(f"docs: no docstring: {', '.join(missing)}")
    try:
        import pdoc
    except ImportError:
        with_pdoc(build)
        print("docs: pdoc cannot be had: the page of the Python module is left out")
        return
    pdoc.pdoc("prong", output_directory=out / "python")
    text = (out / "python/prong.html").read_text()
    lost = [name for name in prong.__all__ if f'id="{name}"' not in text]
    if lost:
        sys.exit(f"docs: not on the page: {', '.join(lost)}")
    print(f"{out}/python/prong.html: {len(prong.__all__)} names")


main()
