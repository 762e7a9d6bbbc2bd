"""What every command shares: versions, help, completion, colours, exit codes."""

import os
import signal
import subprocess
import sys
from importlib.metadata import version as installed

import pytest
from typer.core import TyperGroup
from typer.main import get_command
from typer.testing import CliRunner

from worker.cli import app, register, version


def guardstream(*arguments, **variables):
    return subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-m", "worker", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=os.environ | variables,
    )


def commands(group=None, path=()):
    register()
    group = group or get_command(app)
    for name, command in group.commands.items():
        yield (*path, name)
        if isinstance(command, TyperGroup):
            yield from commands(command, (*path, name))


def test_version_names_the_program_and_its_libraries():
    done = guardstream("--version")
    first, engine, client = done.stdout.splitlines()
    assert first == f"guardstream {installed('guardstream')}"
    assert engine.startswith("vllm ")
    assert client == f"aiokafka {installed('aiokafka')}"
    assert (done.returncode, done.stderr) == (0, "")


def test_version_imports_neither_the_engine_nor_the_client():
    code = (
        "import sys; from worker.cli import main; sys.argv = ['guardstream', '--version']\n"
        "try: main()\n"
        "finally: print([m for m in ('vllm', 'torch', 'aiokafka') if m in sys.modules])"
    )
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.endswith("[]\n")


def test_a_library_that_is_missing_is_reported(monkeypatch):
    register()
    monkeypatch.setattr(version, "_LIBRARIES", {"vllm": ("no-such-distribution",)})
    done = CliRunner().invoke(app, ["--version"])
    assert done.stdout.splitlines()[1] == "vllm is not installed"
    assert done.exit_code == 0


@pytest.mark.parametrize("path", [(), *commands()], ids=" ".join)
def test_each_command_has_a_short_and_a_long_option_for_help(path):
    short, long = (CliRunner().invoke(app, [*path, option]) for option in ("-h", "--help"))
    assert (short.exit_code, long.exit_code) == (0, 0)
    assert short.stdout == long.stdout
    assert "Usage:" in short.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_can_be_installed(shell):
    # the option takes the name of a shell where none is detected
    done = guardstream("--show-completion", shell, _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert "_GUARDSTREAM_COMPLETE" in done.stdout
    assert done.returncode == 0


def test_completion_proposes_commands():
    done = guardstream(
        _GUARDSTREAM_COMPLETE="complete_bash", COMP_WORDS="guardstream re", COMP_CWORD="1"
    )
    assert done.stdout.split() == ["redrive", "render"]


def test_no_color_is_respected():
    def colours(**variables):
        text = guardstream("--help", FORCE_COLOR="1", **variables).stdout
        return [f"\x1b[{code}" for code in ("1;33m", "1;36m", "31m") if f"\x1b[{code}" in text]

    assert colours()
    assert not colours(NO_COLOR="1")


@pytest.mark.parametrize(
    ("arguments", "variables", "code"),
    [
        (["--version"], {}, 0),
        (["check"], {"GUARDSTREAM_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1"}, 1),
        (["check", "--nonsense"], {}, 2),
        (["check"], {"GUARDSTREAM_BATCH__MAX_RECORDS": "0"}, 2),
    ],
)
def test_exit_codes(arguments, variables, code):
    done = guardstream(*arguments, GUARDSTREAM_ENGINE__KIND="simulated", **variables)
    assert done.returncode == code, done.stderr


def test_an_interrupted_command_exits_with_130():
    with subprocess.Popen(
        [sys.executable, "-m", "worker", "render"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        process.stdin.write(b'{"id": "a", "prompt": "hi"}\n')
        process.stdin.flush()
        assert process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert b"Traceback" not in errors
