"""Where helm comes from."""

import pytest

from helm import program


@pytest.fixture
def path(tmp_path, monkeypatch):
    """A PATH with nothing but what a test puts there, and an empty cache."""
    monkeypatch.setenv("GUARDSTREAM_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}")
    (tmp_path / "bin").mkdir()
    return tmp_path / "bin"


def go(path, script):
    (path / "go").write_text(f"#!/bin/sh\n{script}\n")
    (path / "go").chmod(0o755)


def test_it_is_built_once_and_kept(path):
    assert program.find() is None
    go(path, 'PATH=/bin:/usr/bin; mkdir -p "$GOBIN"; echo "$@" > "$GOBIN/helm"')
    said = []
    built = program.obtain(said.append)
    assert built.read_text() == f"install helm.sh/helm/v3/cmd/helm@{program.VERSION}\n"
    assert len(said) == 1
    (path / "go").unlink()
    assert program.obtain(said.append) == built == program.find()
    assert len(said) == 1


def test_without_go_it_says_what_is_missing(path):
    with pytest.raises(program.NoHelm, match="install Go"):
        program.obtain(print)


def test_what_go_could_not_do_is_said_and_nothing_is_kept(path):
    go(
        path,
        'PATH=/bin:/usr/bin; mkdir -p "$GOBIN"; echo "first" >&2; echo "no such host" >&2; exit 1',
    )
    with pytest.raises(program.NoHelm, match="could not build helm: no such host"):
        program.obtain(print)
    assert program.find() is None
