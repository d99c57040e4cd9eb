"""--results FILE.csv, .tsv, .json: a record for each job."""

import csv
import io
import json
import os
import pathlib
import resource
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PRONG = os.environ.get("PRONG", str(ROOT / "build" / "prong"))
COLUMNS = ["Seq", "Host", "Starttime", "JobRuntime", "Send", "Receive", "Exitval", "Signal", "Command"]
csv.field_size_limit(1 << 30)


def prong(*args, stdin=b"", timeout=120, **kw):
    return subprocess.run([PRONG, *args], input=stdin, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=timeout, check=False, **kw)


def rows(name, delimiter=None):
    text = pathlib.Path(name).read_bytes().decode("utf-8", "surrogateescape")
    delimiter = delimiter or ("\t" if name.endswith("tsv") else ",")
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))


def records(name):
    head, *rest = rows(name)
    assert all(len(r) == len(head) for r in rest)
    return [dict(zip(head, r)) for r in rest]


def objects(name):
    return [json.loads(line) for line in pathlib.Path(name).read_bytes().splitlines()]


ODD = ["", "a", "a,b", 'say "hi"', "tab\there", "back\\slash", "'", "é", "x y", "-n", "%s",
       '"', '""', ",", "\r", "ü,\"\t"]


@pytest.mark.parametrize("name", ["o.csv", "o.tsv"])
def test_every_value_comes_back(name):
    r = prong("-0", "-k", "--results", name, "printf %s {}; printf %s {} >&2; exit 3",
              stdin="\0".join(ODD + ["a\nb\n"]).encode())
    assert (r.returncode, r.stdout, r.stderr) == (len(ODD) + 1, b"", b"")
    assert rows(name)[0] == COLUMNS + ["V1", "Stdout", "Stderr"]
    got = records(name)
    assert [g["V1"] for g in got] == ODD + ["a\nb\n"]
    assert all(g["V1"] == g["Stdout"] == g["Stderr"] for g in got)
    assert [g["Seq"] for g in got] == [str(i + 1) for i in range(len(got))]
    assert {(g["Exitval"], g["Signal"], g["Host"], g["Send"]) for g in got} == {("3", "0", ":", "0")}
    assert all(int(g["Receive"]) == len(g["Stdout"].encode()) for g in got)


def test_json_every_value_comes_back():
    prong("-0", "-k", "--results", "o.json", "printf %s {}; printf %s {} >&2",
          stdin="\0".join(ODD + ["a\nb\x01\x7f\U0001f600"]).encode())
    got = objects("o.json")
    assert [g["V"] for g in got] == [[v] for v in ODD + ["a\nb\x01\x7f\U0001f600"]]
    assert all(g["V"] == [g["Stdout"]] == [g["Stderr"]] for g in got)
    assert list(got[0]) == COLUMNS + ["V", "Stdout", "Stderr"]
    assert all(isinstance(got[0][k], (int, float)) for k in COLUMNS if k not in ("Host", "Command"))


def test_json_of_any_bytes_is_json():
    pathlib.Path("f").write_bytes(bytes(range(256)) * 300 + os.urandom(300_000) + "é€😀".encode() * 70_000)
    prong("--results", "o.json", "cat f f; :", ":::", "1")
    assert objects("o.json")[0]["Stdout"] == (pathlib.Path("f").read_bytes() * 2).decode("utf-8", "replace")


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537, 262143, 262145, 3_000_000])
def test_sizes_around_the_buffers(size):
    text = ('a"b\n' * (size // 4 + 1))[:size]
    pathlib.Path("f").write_text(text)
    prong("-j1", "--results", "o.csv", "cat f; cat f >&2; :", ":::", "1", "2")
    prong("-j1", "--results", "o.json", "cat f; cat f >&2; :", ":::", "1", "2")
    assert [(r["Stdout"], r["Stderr"]) for r in records("o.csv")] == [(text, text)] * 2
    assert [(r["Stdout"], r["Stderr"]) for r in objects("o.json")] == [(text, text)] * 2


def test_binary_output_in_csv():
    data = os.urandom(500_000).replace(b"\r", b"").replace(b"\0", b"")
    pathlib.Path("f").write_bytes(data)
    prong("--results", "o.csv", "cat f; :", ":::", "1")
    got = records("o.csv")[0]["Stdout"].encode("utf-8", "surrogateescape")
    assert got == data


def test_order_of_input_with_keep_order_else_of_ending():
    for extra, want in (["-k"], "312"), ([], "123"):
        prong("-j3", *extra, "--results", "o.csv", "sleep 0.{}; sleep {}", ":::", "3", "1", "2")
        assert "".join(r["V1"] for r in records("o.csv")) == want


def test_names_of_columns_and_ragged_rows():
    prong("-k", "--header", ":", "--results", "a.csv", "echo", ":::", "x", "1", ":::", "y z", "2")
    assert rows("a.csv")[0] == COLUMNS + ["x", "y z", "Stdout", "Stderr"]
    prong("-j2", "-k", "-C", ",", "--results", "b.csv", "[ {1} != 1 ] || sleep 0.3; echo {1}",
          stdin=b"1,2,3\n4\n5,6,7,8,9\n")
    got = records("b.csv")
    assert [[g["V1"], g["V2"], g["V3"]] for g in got] == [["1", "2", "3"], ["4", "", ""], ["5", "6", "7 8 9"]]


def test_tag_and_verbose_are_part_of_stdout():
    prong("--tag", "-v", "--results", "o.csv", "printf 'a\\nb'; printf e >&2; :", ":::", "1")
    row = records("o.csv")[0]
    assert row["Stdout"] == "1\tprintf 'a\\nb'; printf e >&2; : 1\n1\ta\n1\tb"
    assert row["Stderr"] == "1\te"


def test_signal_timeout_and_what_cannot_start():
    prong("-j1", "--results", "o.csv", "kill -9 $$;", ":::", "1")
    prong("-j1", "--timeout", "1", "--results", "p.csv", "sleep", ":::", "100")
    prong("-j1", "--results", "q.csv", "no-such-program-x", ":::", "1")
    got = [(r["Exitval"], r["Signal"]) for n in "opq" for r in records(n + ".csv")]
    assert got == [("0", "9"), ("-1", "15"), ("127", "0")]


def test_standard_output():
    r = prong("-k", "--results", "-.tsv", "echo", ":::", "a", "b")
    assert r.stdout.count(b"\n") == 5 and r.stdout.startswith(b"Seq\tHost")
    r = prong("-k", "--results", "-.json", "echo", ":::", "a", "b")
    assert [json.loads(x)["V"] for x in r.stdout.splitlines()] == [["a"], ["b"]]
    assert not any(p.name.startswith("-") for p in pathlib.Path(".").iterdir())


def test_an_old_file_is_replaced_but_resumed_with_a_log():
    prong("--joblog", "log", "--results", "o.csv", "echo", ":::", "a")
    prong("--resume", "--joblog", "log", "--results", "o.csv", "echo", ":::", "a", "b")
    assert [r["V1"] for r in records("o.csv")] == ["a", "b"]
    prong("--results", "o.csv", "echo", ":::", "c")
    assert [r["V1"] for r in records("o.csv")] == ["c"]


def test_what_a_halt_ended_has_no_record():
    prong("-j2", "--halt", "now,fail=1", "--results", "o.csv", "test {} = 1 || sleep 100; exit 1",
          ":::", "1", "2")
    assert [r["Seq"] for r in records("o.csv")] == ["1"]


def test_no_jobs_no_record():
    assert prong("-r", "--results", "o.csv", "echo").returncode == 0
    assert pathlib.Path("o.csv").read_bytes() == b""


@pytest.mark.parametrize("end", ["csv", "json"])
def test_full_disk_is_said_once(end):
    os.symlink("/dev/full", "full." + end)
    r = prong("-j2", "--results", "full." + end, "echo", ":::", *"123456")
    assert r.returncode == 255 and r.stderr.count(b"\n") == 1 and b"full." in r.stderr


def test_no_such_directory_and_contradiction():
    r = prong("--results", "no/such/o.csv", "echo", ":::", "1")
    assert r.returncode == 255 and r.stderr.count(b"\n") == 1 and b"no/such/o.csv" in r.stderr
    r = prong("--results", "o.csv", "--files", "echo", ":::", "1")
    assert r.returncode == 255 and r.stderr.count(b"\n") == 1


@pytest.mark.skipif(bool(os.environ.get("SANITIZED", "none") != "none"), reason="memory is the sanitizer's")
def test_big_outputs_need_no_memory():
    def limit():
        resource.setrlimit(resource.RLIMIT_DATA, (40 << 20, 40 << 20))
    for end in ("csv", "json"):
        r = prong("-j2", "-k", "--results", "o." + end, "head -c 50000000 /dev/zero | tr '\\0' '\"'; :",
                  ":::", "1", "2", preexec_fn=limit)
        assert r.returncode == 0, r.stderr
        assert os.path.getsize("o." + end) > 200_000_000
        os.unlink("o." + end)
