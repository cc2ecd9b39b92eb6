"""The laws of the house: layering, lazy imports, a documented public API, definitions without rounded literals."""

import ast
import doctest
import inspect
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import stablenn
from benchmarks import render
from stablenn.interpret import jaxprs
from stablenn.precision.spec import SPECS
from stablenn.precision.tolerances import find_tolerance
from stablenn.testing import strategies

ROOT = Path(stablenn.__file__).parent

# What each room may import of stablenn, from the ground floor up.
MAY_IMPORT = {
    "floats": set(),
    "nn": {"nn"},
    "losses": {"nn", "losses"},
    "optim": {"nn", "optim"},
    "trial": {"floats", "nn", "losses"},
    "interpret": {"floats", "interpret"},
    "precision": set(),
    "precision.domain": {"floats", "precision.domain"},
    "precision.record": {"floats"},
    "precision.tolerances": set(),
    "precision.report": {"floats", "precision.record"},
    "precision.devices": {"floats", "interpret"},
    "precision.limits": {"floats", "interpret"},
    "precision.spec": {"floats", "nn", "losses", "precision.domain", "precision.spec"},
    "precision.accuracy": {
        *("floats", "interpret"),
        *("precision.devices", "precision.domain", "precision.limits", "precision.record", "precision.spec"),
    },
    "precision.gradients": {"floats", "interpret", "precision.gradients", "progress"},
    "precision.survey": {
        *("", "floats", "precision.accuracy", "precision.devices", "precision.record", "precision.spec"),
        "precision.tolerances",
    },
    "testing": {"floats", "interpret", "precision", "testing"},
    "testing.strategies": {"floats", "precision.domain"},
    "testing.profiles": set(),
    "progress": set(),
    "cli": {"floats", "interpret", "precision", "progress", "cli"},
    "__init__": {"nn", "losses", "optim", "floats", "interpret", "precision", "testing", "trial"},
    "__main__": {"cli"},
}
# Where third-party packages of the lab may appear.
HOMES = {
    "flint": {"interpret.balls"},
    "click": {"cli"},
    "rich": {"progress", "cli", "precision.report", "precision.gradients.report"},
    "optax": {"losses", "optim", "trial", "precision.gradients.starting_point"},  # losses: on access
    "hypothesis": {"testing.strategies", "testing.profiles", "testing.laws"},
    "pytest": set(),
    "matplotlib": set(),
}
WITHOUT_JAX = {"floats", "precision.domain", "precision.record", "precision.report", "precision.tolerances"}


def modules():
    for path in sorted(ROOT.rglob("*.py")):
        relative = path.relative_to(ROOT).with_suffix("")
        name = ".".join(part for part in relative.parts if part != "__init__") or "__init__"
        yield name, ast.parse(path.read_text(encoding="utf-8"))


every_module = pytest.mark.parametrize(("name", "tree"), [pytest.param(*module, id=module[0]) for module in modules()])


def imports(tree):
    """Every imported module, with names of `from` imports as candidates for submodules."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def inside(name, rooms):
    return any(name == room or name.startswith(f"{room}.") for room in rooms if room)


def room_of(name):
    return max((room for room in MAY_IMPORT if inside(name, {room})), key=len)


def layering_violations(name, tree):
    allowed = MAY_IMPORT[room_of(name)]
    for target in imports(tree):
        if target == "stablenn" and "" in allowed:
            continue
        if target.split(".")[0] == "stablenn":
            inner = target.removeprefix("stablenn").removeprefix(".")
            if not inside(inner, allowed) and not any(room.startswith(f"{inner}.") for room in allowed if inner):
                yield target


@every_module
def test_no_module_imports_from_a_room_above(name, tree):
    assert list(layering_violations(name, tree)) == []


def test_the_layering_test_sees_a_kit_that_imports_the_lab():
    tree = ast.parse("from stablenn.precision.spec import SPECS")
    assert list(layering_violations("nn.logistic", tree)) == ["stablenn.precision.spec.SPECS"]


@every_module
def test_packages_of_the_lab_stay_in_their_rooms(name, tree):
    for target in imports(tree):
        package = target.split(".")[0]
        if package in HOMES:
            assert inside(name, HOMES[package]), f"{name} imports {package}"
        if package in ("jax", "jaxlib"):
            assert not inside(name, WITHOUT_JAX), f"{name} imports {package}"


def test_no_module_bears_the_name_of_a_public_function():
    public = set(stablenn.__all__) - {"nn", "losses", "optim", "testing"}
    assert {name.rpartition(".")[2] for name, _ in modules()} & public == set()


# --- lazy imports ------------------------------------------------------------------------------------------------

LAB = ["flint", "click", "rich", "hypothesis", "pytest", "matplotlib", "mpmath"]


def loaded_after(statement):
    """Top-level packages in a fresh interpreter after a statement."""
    code = f"import sys; {statement}; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(result.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import stablenn", ["jax", "numpy", "optax", *LAB]),
        ("import stablenn.nn, stablenn.losses", ["optax", *LAB]),
        ("import stablenn.optim", LAB),
        ("import stablenn; stablenn.patched", LAB),
        ("from stablenn import Domain, Accuracy", ["jax", "optax", *LAB]),
        ("import stablenn.precision.report, stablenn.precision.record", ["jax", "optax", *LAB]),
        ("from stablenn.cli.commands import run; run(['--help'])", ["jax", "optax", "flint"]),
    ],
)
def test_imports_load_nothing_that_is_not_needed(statement, absent):
    assert loaded_after(statement) & set(absent) == set()


BLOCK = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocker())
"""


def run_without(packages, code):
    script = BLOCK.format(blocked=packages) + code
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)


def test_the_kit_works_without_the_lab():
    result = run_without(LAB, "import stablenn; print(float(stablenn.nn.sigmoid(0.0)))")
    assert (result.returncode, result.stdout) == (0, "0.5\n")


@pytest.mark.parametrize(("missing", "arguments"), [(LAB, ["info"]), (["flint"], ["bench", "--ops", "sigmoid"])])
def test_a_command_without_the_lab_says_what_installs_it(missing, arguments):
    code = f"sys.argv[1:] = {arguments!r}\nfrom stablenn.cli import main\nsys.exit(main())"
    result = run_without(missing, code)
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert 'pip install "stablenn[lab]"' in result.stderr


def test_a_function_of_the_lab_without_the_lab_says_what_installs_it():
    result = run_without(["flint"], "import stablenn\nstablenn.exact")
    assert result.stderr.splitlines()[-1].endswith('install it with  pip install "stablenn[lab]"')


# --- public API --------------------------------------------------------------------------------------------------

KIT = [
    (f"{room}.{name}", getattr(module, name))
    for room, module in (("nn", stablenn.nn), ("losses", stablenn.losses))
    for name in dir(module)
    if callable(getattr(module, name))
    and not name.startswith("_")
    and getattr(module, name) is not getattr(jax.nn, name, None)
    and getattr(module, name) is not getattr(optax.losses, name, None)
]
# It returns the parts of another, whose Spec holds it as well.
PARTS = {"losses.ctc_loss_with_forward_probs"}
OPTIM = [
    (f"optim.{name}", getattr(stablenn.optim, name))
    for name in dir(stablenn.optim)
    if inspect.isfunction(getattr(stablenn.optim, name))
]
STRATEGIES = [
    (f"testing.strategies.{name}", getattr(strategies, name)) for name in ("arrays", "from_domain", "labels", "masks")
]
FUNCTIONS = (
    [(name, getattr(stablenn, name)) for name in ("exact", "measure", "grad_report", "check_grads", "patched")]
    + OPTIM
    + STRATEGIES
)


@pytest.mark.parametrize(("name", "function"), [pytest.param(*pair, id=pair[0]) for pair in KIT + FUNCTIONS])
def test_public_functions_are_documented(name, function):
    text = inspect.getdoc(function)
    sections = ["Returns:", "Raises:", "Example:"] + ["Accuracy:", ".. math::"] * (
        (name, function) in KIT and name not in PARTS
    )
    sections += ["Args:"] * bool(inspect.signature(function).parameters)
    assert [section for section in sections if section not in text] == []
    assert doctest.DocTestParser().get_examples(text), "the example is no doctest"
    assert [n for n in inspect.signature(function).parameters if f"{n}:" not in text and f", {n}:" not in text] == []


@pytest.mark.parametrize("name", stablenn.__all__)
def test_every_public_name_resolves_and_is_documented(name):
    assert inspect.getdoc(getattr(stablenn, name))


# --- Specs -------------------------------------------------------------------------------------------------------

every_spec = pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)


def test_every_public_function_of_the_kit_has_a_spec():
    assert {function for name, function in KIT if name not in PARTS} <= {spec.fn for spec in SPECS}


def test_every_variant_is_one_of_a_function_with_a_spec():
    by_name = {spec.name: spec for spec in SPECS}
    for spec in SPECS:
        if spec.variant is not None:
            assert by_name[spec.variant.of].variant is None
            assert spec.implementation == by_name[spec.variant.of].implementation


def literals(jaxpr):
    """Every float that a jaxpr holds, its inner jaxprs included."""
    for eqn in jaxpr.eqns:
        yield from (
            float(atom.val) for atom in eqn.invars if isinstance(atom, jaxprs.Literal) and np.ndim(atom.val) == 0
        )
        for param in jax.tree.leaves(
            eqn.params, is_leaf=lambda value: hasattr(value, "jaxpr") or hasattr(value, "eqns")
        ):
            if hasattr(param, "jaxpr") or hasattr(param, "eqns"):
                inner, consts = jaxprs.opened(param)
                yield from literals(inner)
                yield from (float(value) for const in consts for value in np.ravel(const))


def rounded_literals(definition, arguments):
    row = [jax.ShapeDtypeStruct(a.shape, np.float64 if a.is_float else a.dtype) for a in arguments]
    closed, _ = jaxprs.trace(definition, row, x64=True)
    constants = [float(value) for const in closed.consts for value in np.ravel(const)]
    finite = [value for value in [*literals(closed.jaxpr), *constants] if np.isfinite(value)]
    return [value for value in finite if value.as_integer_ratio()[1] > 64]


@every_spec
def test_definitions_hold_no_rounded_literals(spec):
    assert rounded_literals(spec.definition, spec.domain.arguments) == []


def test_a_rounded_literal_is_seen():
    (argument,) = SPECS[0].domain.arguments
    assert rounded_literals(lambda x: x * 0.1, [argument]) == [0.1]
    assert rounded_literals(lambda x: jax.nn.relu(x) * jnp.where(x > 0, 0.3, 1), [argument]) == [0.3]
    assert rounded_literals(lambda x: x / 10 + 0.5, [argument]) == []


@every_spec
def test_specs_are_complete(spec):
    called = spec.load(spec.implementation)
    if spec.variant is None:
        assert called is spec.fn
    else:
        assert (called.func, called.args, called.keywords) == (spec.fn.func, spec.fn.args, spec.fn.keywords)
    assert all(callable(spec.load(peer)) for peer in spec.peers)
    for quantity in ("value", "gradient"):
        for dtype in ("bfloat16", "float16", "float32", "float64"):
            assert find_tolerance(spec.name, quantity, dtype, "any other", "any other") is not None


@every_spec
def test_signatures_are_those_of_the_functions(spec):
    inputs, outputs = (side.replace(" ", "") for side in spec.signature.split("->"))
    sizes = {"": ()}

    def dimensions(part):
        return tuple(int(name) if name.isdigit() else sizes[name] for name in part.strip("()").split(",") if name)

    for part, argument in zip(inputs.replace("),(", ")|(").split("|"), spec.domain.arguments, strict=True):
        names = [name for name in part.strip("()").split(",") if name]
        sizes.update(zip(names, argument.shape, strict=True))
    row = [jax.ShapeDtypeStruct(a.shape, np.float32 if a.is_float else a.dtype) for a in spec.domain.arguments]
    for fn in (spec.fn, spec.definition):
        # several results are measured as one row
        leaves = [leaf.shape for leaf in jax.tree.leaves(jax.eval_shape(fn, *row))]
        assert leaves[0] == dimensions(outputs) if len(leaves) == 1 else (len(leaves),) == dimensions(outputs)


def test_generated_figures_are_up_to_date():
    assert [path.name for path, text in render.rendered().items() if path.read_text(encoding="utf-8") != text] == []


def test_a_variant_has_its_figures_in_the_docstring_of_its_function():
    figures = render.worst(render.of_record()[0].records)
    plain, variant = (spec for spec in SPECS if spec.name in ("nn.logsumexp", "nn.logsumexp_with_factors"))
    for (function, quantity, dtype), record in list(figures.items()):
        if function == "nn.softmax":
            figures[render.Place(variant.name, quantity, dtype)] = record
    lines = render.paragraph(plain.name, figures, "0.10.2", [variant]).splitlines()
    assert lines[2].startswith("      With factors `b`: float64 ") and lines[3].endswith(".")
    softmax = render.paragraph("nn.softmax", figures, "0.10.2").splitlines()
    assert lines[3].split("bfloat16")[1].strip(" .") == softmax[1].split("bfloat16")[1].split(" (")[0].strip()
