"""The packages with all their breaks in them, which mutmut makes, and what each break changes."""

import ast
import difflib
import re
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType
from typing import ClassVar, Final

from libcst import BaseString, SimpleString
from mutmut import configuration
from mutmut.mutation import file_mutation, mutators, trampoline
from mutmut.state import state

ABOUT_THE_COPIES: Final = [
    "--no-warn-unused-ignores",
    *(f"--disable-error-code={each}" for each in ("misc", "has-type", "var-annotated", "no-any-return", "no-redef")),
    "--disable-error-code=pydantic-field",
]
"""What mypy says of the copies that mutmut makes, and not of what was changed in them."""
_CLASS: Final = re.compile(r"^class (\w+)")
_FUNCTION: Final = re.compile(r"^def (\w+)\(")
_PROPERTY: Final = re.compile(r"^    def (\w+)\(self\)")


def break_modules(named: str) -> None:
    """From now on these modules are imported with their breaks. None is active until it is named."""
    configuration._config = configuration.Config.__new__(configuration.Config)
    configuration._config.do_not_mutate_patterns = []
    file_mutation.mutation_operators = [
        (kind, words if operator is mutators.operator_string else operator)
        for kind, operator in mutators.mutation_operators
    ]
    trampoline.record_trampoline_hit = lambda name, caller: state()._stats.add(name)
    sys.meta_path.insert(0, Finder(named))


def words(node: BaseString) -> Iterator[BaseString]:
    """A word that the code goes by becomes another one. A sentence stays."""
    if isinstance(node, SimpleString) and " " not in node.value:
        yield from list(mutators.operator_string(node))[:1]


def undecorated(code: str) -> str:
    """The same code, with caches and properties made of plain functions: mutmut leaves out what is decorated."""
    lines, inside, is_property, cache_of, caches = list[str](), "", False, "", list[str]()
    for line in code.splitlines():
        if match := _CLASS.match(line):
            inside = match[1]
        if line.startswith(("@lru_cache", "@cache")):
            cache_of = line[1:]
            continue
        if cache_of and (match := _FUNCTION.match(line)):
            caches.append(f"{match[1]} = {cache_of}({match[1]})")
            cache_of = ""
        if line == "    @property":
            is_property = True
            continue
        if is_property and (match := _PROPERTY.match(line)):
            lines.append(f"    {match[1]} = property(lambda self: {inside}.of_{match[1]}(self))")
            line, is_property = line.replace(match[1], f"of_{match[1]}", 1), False
        lines.append(line)
    return "\n".join([*lines, *caches, ""])


def forget_answers() -> None:
    """Empty the caches, which know the answers of what is not broken."""
    for module in Breaking.broken:
        for value in vars(sys.modules[module]).values():
            if hasattr(value, "cache_clear"):
                value.cache_clear()


class Breaking(SourceFileLoader):
    """Loads a module with all its breaks in it. None is active until it is named."""

    broken: ClassVar = dict[str, str]()
    """Modules, as they were broken."""

    def get_code(self, fullname: str) -> CodeType:
        code = undecorated(Path(self.path).read_text())
        self.broken[fullname] = file_mutation.mutate_file_contents(self.path, code).code
        return compile(self.broken[fullname], self.path, "exec", dont_inherit=True)


class Finder(MetaPathFinder):
    """Finds the modules to break."""

    def __init__(self, modules: str) -> None:
        self.modules = re.compile(modules)

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: object = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(fullname, path) if self.modules.match(fullname) else None
        if spec and spec.origin:
            spec.loader = Breaking(fullname, spec.origin)
        return spec


@cache
def functions(code: str) -> dict[str, range]:
    """Where mutmut wrote each function: the originals and the broken ones."""
    return {
        node.name: range(node.lineno, (node.end_lineno or 0) + 1)
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.FunctionDef) and "__mutmut_" in node.name
    }


def noticed_by_mypy(broken: dict[str, str]) -> set[str]:
    """The breaks in whose functions mypy finds an error."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree("smsretry", Path(folder, "smsretry"), ignore=shutil.ignore_patterns("__pycache__"))
        settings = (
            Path("pyproject.toml").read_text().replace('follow_imports = "skip"', "")
        )  # mutmut's types matter here
        Path(folder, "pyproject.toml").write_text(settings)
        for module, code in broken.items():
            Path(folder, *module.split(".")).with_suffix(".py").write_text(code)
        command = [sys.executable, "-m", "mypy", *ABOUT_THE_COPIES, *(f"-m{module}" for module in broken)]
        said = subprocess.run(command, cwd=folder, capture_output=True, text=True).stdout
    errors = defaultdict[str, set[int]](set)
    for path, line in re.findall(r"^(\S+)\.py:(\d+): error", said, re.MULTILINE):
        errors[path.replace("/", ".")].add(int(line))
    found = set[str]()
    for module, code in broken.items():
        wrong = {name for name, lines in functions(code).items() if not errors[module].isdisjoint(lines)}
        # What mypy says of the original, too, it does not say of the break.
        found |= {f"{module}.{name}" for name in wrong if original(name) not in wrong}
    return found


def original(name: str) -> str:
    """The function that this one was made from."""
    return f"{name.partition('__mutmut_')[0]}__mutmut_orig"


def change(code: str, name: str) -> Iterator[str]:
    """What the break changed."""
    lines, where = code.splitlines(), functions(code)
    old, new = ([lines[line - 1] for line in where[each][1:]] for each in (original(name), name))
    return (line for line in difflib.ndiff(old, new) if line.startswith(("-", "+")))


def is_for_the_reader(code: str, name: str) -> bool:
    """Whether nothing follows from the break but another sentence, or it is in a branch that mypy proves empty."""
    return name.split("__mutmut_")[0].endswith(("told", "__str__", "masked")) or any(
        "assert_never" in line for line in change(code, name)
    )
