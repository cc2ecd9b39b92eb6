"""The command line: its table, its files, its exit codes, and one clear line for bad input."""

import subprocess
import sys

import pytest

from stablenn.cli.commands import run
from stablenn.precision import tolerances
from stablenn.precision.record import Run


def test_bench_measures_shows_and_records(tmp_path, capsys):
    path = tmp_path / "run.jsonl"
    assert run(["bench", "--ops", "sigmoid,logsumexp", "--dtypes", "bfloat16", "--json", str(path)]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 100
    for text in ("nn.sigmoid", "nn.logsumexp", "bf16", "ours | peer", "within tolerance", "every digit"):
        assert text in out
    records = Run.read(path).records
    assert len(records) == 8  # two functions, value and gradient, ours and the peer
    assert {record.implementation for record in records if not record.is_ours} == {
        "jax.nn:sigmoid",
        "jax.scipy.special:logsumexp",
    }


def test_bench_exits_with_1_when_a_tolerance_breaks(monkeypatch, capsys):
    tight = dict.fromkeys(tolerances.table(), 0.1)
    monkeypatch.setattr(tolerances, "table", lambda: tight)
    assert run(["bench", "--ops", "clipped_log", "--dtypes", "bfloat16"]) == 1
    assert "BEYOND TOLERANCE" in capsys.readouterr().out


def test_info_names_versions_and_devices(capsys):
    import jax

    assert run(["info"]) == 0
    out = capsys.readouterr().out
    for text in (jax.__version__, "x64", "subnormals flushed", "cpu:0"):
        assert text in out


USER_MODULE = """
import jax, jax.numpy as jnp

def formula(x):
    return jnp.log(1 + jnp.exp(x))

def unstable(x):
    return jnp.log(1 + jnp.exp(x))

def stable(x):
    return jnp.logaddexp(x, 0.0)

def picky(x):
    if x.shape != (3,):
        raise ValueError("only vectors of three\\nwhatever comes after")
    return x

def spectrum(x):
    return jnp.abs(jnp.fft.rfft(x))

def count(x):
    return x.astype(jnp.int32)

def branchy(x):
    return jax.lax.cond(jnp.exp(jnp.log(x)) > x, lambda: x, lambda: -x)
"""


@pytest.fixture
def user_module(tmp_path, monkeypatch):
    (tmp_path / "user_losses.py").write_text(USER_MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    sys.modules.pop("user_losses", None)


@pytest.mark.usefixtures("user_module")
def test_check_finds_what_is_wrong_with_a_function(capsys):
    domain = ["--domain", "x: float32 in [-80, 200]", "--samples", "100"]
    assert run(["check", "user_losses:unstable", *domain]) == 1
    assert "gradient" in capsys.readouterr().out
    assert (
        run(["check", "user_losses:stable", "--definition", "user_losses:formula", *domain, "--max-ulp", "1e6"]) == 0
    )
    assert "definition" in capsys.readouterr().out
    assert run(["check", "user_losses:stable", *domain, "--max-ulp", "0.1"]) == 1


BAD = {
    "unknown command": (["bnch"], ["'bnch'", "bench, check, info"]),
    "unknown op": (["bench", "--ops", "sofmax"], ["'sofmax'", "did you mean 'softmax'"]),
    "unknown dtype": (["bench", "--dtypes", "float8"], ["'float8'", "bfloat16, float16, float32, float64"]),
    "unknown device": (["bench", "--device", "abacus"], ["'abacus'", "cpu:0"]),
    "no such folder": (["bench", "--json", "/no/such/run.jsonl"], ["--json", "/no/such"]),
    "not a number": (["bench", "--top", "many"], ["--top", "'many'"]),
    "no colon": (["check", "user_losses", "--domain", "x: float32"], ["'user_losses'", "module:function"]),
    "unknown module": (["check", "nowhere:f", "--domain", "x: float32"], ["'nowhere'"]),
    "unknown function": (["check", "user_losses:stabel", "--domain", "x: float32"], ["did you mean 'stable'"]),
    "no domain": (["check", "user_losses:stable"], ["--domain"]),
    "bad domain": (["check", "user_losses:stable", "--domain", "x float32"], ["'x float32'", "name: dtype"]),
    "empty range": (["check", "user_losses:stable", "--domain", "x: float32 in [2, 1]"], ["empty range"]),
    "untraceable": (["check", "user_losses:picky", "--domain", "x: float32"], ["cannot be traced", "of three"]),
    "integers out": (["check", "user_losses:count", "--domain", "x: float32"], ["returns int32"]),
    "no exact rule": (["check", "user_losses:spectrum", "--domain", "x: float32[4]"], ["fft", "user_losses.py"]),
    "undecidable": (
        ["check", "user_losses:branchy", "--domain", "x: float32 in [3, 3]"],
        ["4096 bits", "user_losses.py"],
    ),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.usefixtures("user_module")
def test_bad_input_is_one_clear_line_and_exit_code_2(name, capsys):
    arguments, expected = BAD[name]
    assert run(arguments) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert captured.err.startswith("stablenn: ")
    assert [text for text in expected if text not in captured.err] == []


def test_the_module_runs_as_a_command():
    result = subprocess.run([sys.executable, "-m", "stablenn", "--help"], capture_output=True, text=True, check=True)
    assert all(command in result.stdout for command in ("bench", "check", "info"))
