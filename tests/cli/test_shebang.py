"""--shebang and --shebang-wrap, called as the system and as env -S call them."""
import subprocess

import pytest


def script(path, text):
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


def run(*words, data=b""):
    return subprocess.run(words, input=data, capture_output=True, timeout=60, check=False)


@pytest.fixture(params=["{}", "/usr/bin/env -S {}"])
def bang(request, prong):
    return "#!" + request.param.format(prong)


def test_lines_are_the_input(bang, tmp_path):
    s = script(tmp_path / "s", bang + " --shebang -k -r echo\none\n\ntwo  words\n")
    r = run(s)
    assert (r.returncode, r.stdout) == (0, b"one\ntwo  words\n")


def test_words_of_the_line_may_be_quoted(prong, tmp_path):
    s = script(tmp_path / "s", f"#!{prong} --hashbang -k -I@ echo 'a @'\nx\n")
    assert run(s).stdout == b"a x\n"


@pytest.mark.parametrize("name", ["s", "with space", "it's"])
def test_wrap(bang, tmp_path, name):
    s = script(tmp_path / name, bang + " --shebang-wrap -k /bin/sh -u\necho \"got <$@>\"\n")
    assert run(s, "a  b", "it's").stdout == b"got <a  b>\ngot <it's>\n"
    assert run(s, data=b"x\ny\n").stdout == b"got <x>\ngot <y>\n"
    assert run(s, ":::", "a", "b", ":::", "c").stdout == b"got <a c>\ngot <b c>\n"


def test_errors(prong, tmp_path):
    s = script(tmp_path / "s", f"#!{prong} --shebang -k echo\none\n")
    for r in (run(s, "arg"), run(prong, "--shebang"), run(prong, "-k", "--shebang", s),
              run(script(tmp_path / "q", f"#!{prong} --shebang echo 'a\nx\n"))):
        assert (r.returncode, r.stdout) == (255, b"")
        assert r.stderr.count(b"\n") == 1
