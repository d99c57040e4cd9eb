"""prong.bash: functions, arrays and unexported variables in jobs; outputs into variables."""
import pathlib
import subprocess

import pytest

FILE = pathlib.Path(__file__).resolve().parents[2] / "shell" / "prong.bash"


@pytest.fixture
def sh(prong, tmp_path, monkeypatch):
    monkeypatch.setenv("PRONG", prong)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("PARALLEL_SHELL")

    def run(code, status=0, err=""):
        r = subprocess.run(["bash", "--norc", "-c", f". {FILE}\n" + code], text=True,
                           capture_output=True, timeout=120, check=False)
        assert (r.returncode, r.stderr) == (status, err)
        return r.stdout
    return run


@pytest.mark.parametrize("env", ["", "--env thing"])
@pytest.mark.parametrize("define,use,out", [
    ('thing() { echo "function $*"; }', "thing {}", "function a b\n"),
    ("thing='un  exported'", 'echo "$thing" {}', "un  exported a b\n"),
    ("thing=(x 'y  z' $'new\\nline')", 'echo "${thing[1]}" "${#thing[@]}"; : {}', "y  z 3\n"),
    ("declare -A thing=([k 1]=v)", 'echo "${thing[k 1]}"; : {}', "v\n"),
    ("declare -i thing=5", 'thing+=2; echo $thing; : {}', "7\n"),
    ("shopt -s expand_aliases; alias thing='echo aliased'", "thing {}", "aliased a b\n"),
    ("thing=$'q\\'uote\"s `$(false)` \\\\'", 'printf "%s\\n" "$thing"; : {}', "q'uote\"s `$(false)` \\\n"),
])
def test_jobs_know_what_the_shell_knows(sh, env, define, use, out):
    assert sh(f"{define}\nenv_prong {env} '{use}' ::: 'a b'") == out


def test_functions_that_use_others_and_extglob(sh):
    assert sh('''shopt -s extglob
    inner() { [[ $1 == +([0-9]) ]] && echo number || echo word; }
    outer() { inner "$@"; }
    env_prong -k outer {} ::: 12 ab''') == "number\nword\n"


def test_only_what_env_names(sh):
    assert sh('''a=1 b=2; env_prong --env a --env=c 'echo "$a-${b-unset}" {}' ::: x''') == \
        "1-unset x\n"


def test_more_than_an_argument_may_hold(sh):
    assert sh('''big=$(printf '%0300000d' 0); env_prong 'echo ${#big} {}' ::: x''') == "300000 x\n"


def test_children_of_jobs_are_not_told_and_nothing_is_left(sh, tmp_path):
    assert sh('''thing=1; env_prong 'bash -c "echo [\\$thing] [\\$BASH_ENV]"; ls /proc/$$/fd | wc -l; : {}' ::: x''') \
        .startswith("[] []\n")
    assert not list((tmp_path / "tmpdir").iterdir())


def test_sessions(sh):
    assert sh('''before=1; env_prong --session; after=2
    env_prong 'echo "[$before] [$after]" {}' ::: x
    env_prong --end-session
    env_prong 'echo "[$before] [$after]" {}' ::: x''') == "[] [2] x\n[1] [2] x\n"
    sh("env_prong --end-session", 255, "env_prong: no session to end\n")


def test_record_env(sh):
    assert sh('''before=1; export shown=1; env_prong --record-env; after=2
    env_prong --env _ 'echo "[$before] [$after] [$shown]" {}' ::: x''') == "[] [2] [1] x\n"


def test_status(sh):
    sh("f() { return $1; }; env_prong f ::: 1 2 0", 2)
    sh("env_prong --halt now,fail=1 'exit {}' ::: 7", 7,
       "prong: --halt: job 1 failed, ending the run: exit 7\n")


def test_parset_into_an_array(sh):
    assert sh('''parset a seq 3 ::: 4 5 6; echo "${a[1]}"; echo "${#a[@]}"
    parset a ::: "echo 'x  y'" "printf 'a\\n\\nb\\n\\n'" true
    declare -p a''') == ("3\n4\n5\n3\n" "declare -a a=([0]=\"x  y\" [1]=$'a\\n\\nb' [2]=\"\")\n")


def test_parset_into_several(sh, tmp_path):
    assert sh('''parset "s p" ::: "seq 2" pwd; echo "$s" "$p"; parset q,r echo ::: 1 2; echo $q$r''') \
        == f"1\n2 {tmp_path}\n12\n"


def test_parset_into_an_associative_array(sh):
    assert sh('''typeset -A m; m[old]=1; parset m seq ::: 4 5 ::: 6 7; echo "${m[4 7]}"; echo ${#m[@]}''') \
        == "4\n5\n6\n7\n4\n"


def test_parset_reads_files_and_keeps_the_status(sh):
    assert sh('''seq 3 > f; parset a echo < f; echo "${a[2]}"; parset a echo :::: <(seq 30); echo "${a[29]}"
    parset a 'echo {}; exit {}' ::: 0 1 1; echo "$? ${a[*]}"''') == "3\n30\n2 0 1 1\n"


def test_env_parset(sh):
    assert sh('''f() { echo "f$1"; }; env_parset a f ::: 1 2; echo "${a[*]}"''') == "f1 f2\n"


@pytest.mark.parametrize("words,err", [
    ("1a echo ::: x", "parset: '1a' is no name for a variable\n"),
    ("'a[$(touch bad)]' echo ::: x", "parset: 'a[$(touch' is no name for a variable\n"),
    ("'' echo ::: x", "parset: write the name of a variable first\n"),
    ("a,b echo ::: 1 2 3", "parset: 3 jobs for 2 variables\n")])
def test_parset_refuses(sh, tmp_path, words, err):
    sh("parset " + words, 255, err)
    assert not (tmp_path / "bad").exists() and not list((tmp_path / "tmpdir").iterdir())


def test_from_a_strict_script(sh):
    assert sh('''set -euo pipefail
    v=1; f() { echo "$v$1"; }
    env_prong f ::: x
    env_parset a f ::: y
    echo "${a[0]}"
    env_prong --session; env_prong --end-session
    env_prong 'false {}' ::: x || echo "failed $?"
    parset "p q" exit ::: 0 4 || echo "failed $?"''') == "1x\n1y\nfailed 1\nfailed 1\n"
