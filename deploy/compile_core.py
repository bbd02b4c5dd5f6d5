"""Compiles the rooms of the core with mypyc: the same source, some two times as fast where rules act.

    python deploy/compile_core.py FOLDER            a copy of the engine with a compiled core; PYTHONPATH=FOLDER takes it
    python deploy/compile_core.py FOLDER --quick    the same without the C compiler's optimisations, for tests

As a build hook it puts the compiled modules into the wheel: HATCH_BUILD_HOOK_ENABLE_CUSTOM=1 python -m pip install .
Plain Python stays the reference: a compiled module lies beside its source, and who removes it has the reference again.
"""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any, Final

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ENGINE: Final = Path(__file__).resolve().parents[1] / "engine"
CORE: Final = "pilotage/core"
STAY: Final = frozenset({
    # They inherit from Python's own containers, or look at classes from outside.
    *("__init__", "city_cells", "compiled", "image", "image_columns", "store"),
    # Nobody waits for them: people ask, or an engine is read back.
    *("carried", "explain", "glass", "modes", "preview", "progress", "replayed", "why", "why_rule"),
})  # fmt: skip
"""Modules that stay as they are."""
MARK: Final = "@mypyc_attr(allow_interpreted_subclasses=True)\n"
"""Has `__new__` make an object without its attributes, as Python does: an image fills them in."""
NOT_MARKED: Final = ("Protocol", "NamedTuple", "Enum")
HEAD: Final = """
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_extensions import mypyc_attr
"""
OPTIONS: Final = ("--strict", "--explicit-package-bases", "--follow-imports=silent", "--ignore-missing-imports")  # fmt: skip
SUFFIX: Final = sysconfig.get_config_var("EXT_SUFFIX")


class CompiledCore(BuildHookInterface):  # type: ignore[type-arg]
    """The hook of the wheel; off unless it is asked for."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and have the modules packed beside their source.

        Args:
            version: `standard`, or `editable`, which keeps to the source.
            build_data: What the wheel will hold.
        """
        if version != "standard":
            return
        folder = self._folder = Path(tempfile.mkdtemp(prefix="pilotage-core-"))
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        for module in compile_into(folder):
            build_data["force_include"][str(module)] = str(module.relative_to(folder))

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what is packed now."""
        if version == "standard":
            shutil.rmtree(self._folder)


def compile_into(folder: Path, quick: bool = False) -> list[Path]:
    """Copy the engine into a folder, compile its core there, and return the modules that were made.

    Raises:
        subprocess.CalledProcessError: mypyc or the C compiler refused; what they said is on the screen.
    """
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ENGINE, folder, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    sources = [p for p in sorted((folder / CORE).glob("*.py")) if p.stem not in STAY]
    texts = {source: source.read_text("utf-8") for source in sources}
    for source, text in texts.items():
        source.write_text(marked(text), "utf-8")
    names = [str(source.relative_to(folder)) for source in sources]
    call = [sys.executable, __file__, "--here", "0" if quick else "2", *names]
    subprocess.run(call, cwd=folder, env={**os.environ, "MYPYPATH": str(folder)}, check=True)
    shutil.rmtree(folder / "build")
    for source, text in texts.items():  # an image is known by the source of its code
        source.write_text(text, "utf-8")
    return sorted((*folder.glob(f"*{SUFFIX}"), *(folder / CORE).glob(f"*{SUFFIX}")))


def marked(text: str) -> str:
    """Return a module's text with its classes marked for mypyc."""
    tree = ast.parse(text)
    lines = text.splitlines(keepends=True)
    for node in reversed([node for node in tree.body if isinstance(node, ast.ClassDef)]):
        if not any(ast.unparse(base).startswith(NOT_MARKED) for base in node.bases):
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            lines.insert(first - 1, MARK)
    future = next(n for n in tree.body if isinstance(n, ast.ImportFrom))
    lines.insert(future.lineno, HEAD)
    return "".join(lines)


def compile_here(optimise: str, names: list[str]) -> None:
    """Compile modules where they lie; a process of its own, since setuptools takes over the one that it is called in."""
    from mypyc.build import mypycify
    from setuptools import setup

    modules = mypycify([*OPTIONS, *names], opt_level=optimise, debug_level="0")
    setup(name="pilotage-core", script_args=["-q", "build_ext", "--inplace"], ext_modules=modules)


def main(arguments: list[str]) -> int:
    """Do what the command line asks."""
    if arguments[:1] == ["--here"]:
        compile_here(arguments[1], arguments[2:])
        return 0
    folders = [a for a in arguments if not a.startswith("-")]
    if len(folders) != 1 or set(arguments) - {*folders, "--quick"}:
        print(__doc__, file=sys.stderr)
        return 2
    made = compile_into(Path(folders[0]).resolve(), "--quick" in arguments)
    print(f"{len(made)} compiled modules in {folders[0]}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
