"""The examples answer what they say, in C and in the shell."""
import os
import pathlib
import re
import subprocess

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "examples"


def run(cmd, prong):
    path = f"{pathlib.Path(prong).parent}:{os.environ['PATH']}"
    return subprocess.run(cmd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, text=True,
                          env=dict(os.environ, PATH=path))


def check_files(tmp_path):
    files = sorted(tmp_path.glob("child-*.txt"))
    assert len(files) == 7
    pids = {re.search(r"process (\d+)", f.read_text()).group(1) for f in files}
    assert len(pids) == 7


def test_article_c(prong, tmp_path):
    r = run([os.environ["EXAMPLES"] + "/article"], prong)
    assert r.returncode == 0 and "all done after" in r.stdout
    assert len(set(re.findall(r"drew (\d+)", r.stdout))) == 7
    check_files(tmp_path)


def test_article_sh(prong, tmp_path):
    r = run([EXAMPLES / "article.sh"], prong)
    assert r.returncode == 0 and "all done after" in r.stdout
    check_files(tmp_path)


def test_five_c(prong):
    r = run([os.environ["EXAMPLES"] + "/five"] + ["0.3"] * 8, prong)
    assert r.stdout.splitlines()[0] == "5 are running"
    assert r.stdout.count("is done") == 8 and "0 still run" in r.stdout.splitlines()[-1]


def test_five_sh(prong):
    r = run([EXAMPLES / "five.sh"] + ["1"] * 8, prong)
    assert r.returncode == 0 and "5 running" in r.stderr
