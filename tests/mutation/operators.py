"""The small wrongs that are done to a module: one operator swapped, one number changed, one statement gone.

Left alone: docstrings, annotations, decorators, texts, `assert`, keywords that say how, not what (`dtype`).
"""

import ast
import copy
import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# Where a node stands: the fields, and the place in them, that lead to it from the module.
Trail = tuple[tuple[str, int | None], ...]

OPPOSITES: dict[type[ast.AST], tuple[type[ast.AST], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Div,),
    ast.Div: (ast.Mult,),
    ast.FloorDiv: (ast.Mult,),
    ast.Mod: (ast.FloorDiv,),
    ast.Pow: (ast.Mult,),
    ast.BitAnd: (ast.BitOr,),
    ast.BitOr: (ast.BitAnd,),
    ast.LShift: (ast.RShift,),
    ast.RShift: (ast.LShift,),
    ast.And: (ast.Or,),
    ast.Or: (ast.And,),
}
PAIRS = (
    ("min", "max"),
    ("minimum", "maximum"),
    ("argmin", "argmax"),
    ("any", "all"),
    ("floor", "ceil"),
    ("zeros", "ones"),
    ("zeros_like", "ones_like"),
)
SWAPPED = {a: b for pair in PAIRS for a, b in (pair, pair[::-1])}
SAY_HOW = {"dtype", "strict", "copy", "order", "repr", "init", "stacklevel"}


@dataclass(frozen=True)
class Mutant:
    """One change to one module. `lines`: where the changed statement stands; empty: it runs at import."""

    module: str
    scope: str
    operator: str
    before: str
    after: str
    ordinal: int
    line: int
    lines: range
    trail: Trail
    new: ast.AST

    @property
    def key(self) -> str:
        """The same whatever moves around it: no line number is in it."""
        told = "|".join((self.module, self.scope, self.operator, self.before, self.after, str(self.ordinal)))
        return hashlib.sha256(told.encode()).hexdigest()[:12]

    def __str__(self) -> str:
        return f"{self.module}:{self.line} {self.scope}: [{self.operator}] {self.before}  =>  {self.after}"


@dataclass(frozen=True)
class _Place:
    trail: Trail
    scope: str
    lines: range


def mutants_of(module: str, source: str) -> list[Mutant]:
    """All of them, in the order of the source."""
    seen: Counter[tuple[str, ...]] = Counter()
    found = []
    for node, place in _places(ast.parse(source), _Place((), "", range(0))):
        for operator, new in _changes(node, place):
            told = (place.scope, operator, _text(node), _text(new))
            line = getattr(node, "lineno", place.lines.start)
            found.append(Mutant(module, *told, seen[told], line, place.lines, place.trail, new))
            seen[told] += 1
    return found


def mutated(source: str, mutant: Mutant) -> ast.Module:
    tree = ast.parse(source)
    parent: ast.AST = tree
    for field, index in mutant.trail[:-1]:
        parent = getattr(parent, field) if index is None else getattr(parent, field)[index]
    field, index = mutant.trail[-1]
    new = copy.deepcopy(mutant.new)
    if index is None:
        setattr(parent, field, new)
    else:
        getattr(parent, field)[index] = new
    return ast.fix_missing_locations(tree)


def modules_of(package: Path, root: Path) -> dict[str, Path]:
    """Dotted name to file, for every module of the package."""
    names = {path: path.relative_to(root).with_suffix("").parts for path in sorted(package.rglob("*.py"))}
    return {".".join(part for part in parts if part != "__init__"): path for path, parts in names.items()}


def _places(node: ast.AST, place: _Place) -> Iterator[tuple[ast.AST, _Place]]:
    """Every node that may be changed, with where it stands."""
    if place.trail:
        yield node, place
    for field, value in ast.iter_fields(node):
        if _left_alone(node, field):
            continue
        for index, child in enumerate(value) if isinstance(value, list) else ((None, value),):
            if isinstance(child, ast.AST) and not _is_text(child):
                yield from _places(child, _inside(place, node, field, index, child))


def _inside(place: _Place, node: ast.AST, field: str, index: int | None, child: ast.AST) -> _Place:
    scope, lines = place.scope, place.lines
    in_a_function = bool(lines)
    if isinstance(node, ast.FunctionDef) and field == "body":
        in_a_function = True
    if isinstance(child, ast.FunctionDef | ast.ClassDef):
        scope = f"{scope}.{child.name}".lstrip(".")
    if isinstance(child, ast.stmt) and in_a_function:
        body = getattr(child, "body", None)
        last = body[0].lineno - 1 if body else child.end_lineno
        lines = range(child.lineno, max(last, child.lineno) + 1)
    return _Place((*place.trail, (field, index)), scope, lines)


def _left_alone(node: ast.AST, field: str) -> bool:
    return (
        field in {"annotation", "returns", "decorator_list", "bases", "ctx", "type_comment"}
        or isinstance(node, ast.Assert | ast.JoinedStr | ast.Import | ast.ImportFrom)
        or (isinstance(node, ast.keyword) and node.arg in SAY_HOW)
        # The parameters of a type: Callable[[X], Y], `Name = X | None` at the top of a module.
        or (isinstance(node, ast.Subscript) and field == "slice" and _names_a_type(node.value))
    )


def _names_a_type(node: ast.AST) -> bool:
    name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
    return name in {"Callable", "NDArray", "tuple", "list", "dict", "Final", "Sequence", "Mapping", "type"}


def _is_text(node: ast.AST) -> bool:
    if isinstance(node, ast.Expr):
        return _is_text(node.value)
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def _changes(node: ast.AST, place: _Place) -> Iterator[tuple[str, ast.AST]]:
    yield from _other_expressions(node)
    yield from _other_conditions(node)
    if place.lines:
        yield from _other_statements(node)


def _other_expressions(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    match node:
        case ast.Compare(ops=[_]) | ast.BinOp() | ast.BoolOp() | ast.AugAssign():
            yield from _other_operators(node)
        case ast.UnaryOp(op=ast.Not() | ast.Invert()):
            yield "not", node.operand
        case ast.UnaryOp(op=ast.USub()) if not isinstance(node.operand, ast.Constant):
            yield "sign", node.operand
        case ast.Constant(value=bool() | int() | float()):
            yield from _other_numbers(node)
        case ast.Slice():
            yield from _wider_slices(node)
        case ast.Name(id=name) if name in SWAPPED:
            yield "name", ast.Name(SWAPPED[name], ast.Load())
        case ast.Attribute(attr=name) if name in SWAPPED:
            yield "name", _with(node, attr=SWAPPED[name])
        case ast.Call(keywords=[_, *_]):
            yield from _fewer_keywords(node)


def _other_conditions(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    match node:
        case ast.If() | ast.While() | ast.IfExp():
            yield "condition", _with(node, test=ast.UnaryOp(ast.Not(), node.test))
        case ast.comprehension(ifs=[_, *_]):
            yield "condition", _with(node, ifs=[])


def _other_statements(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    match node:
        case ast.AugAssign() | ast.Raise() | ast.Expr(value=ast.Call()):
            yield "statement", ast.Pass()
        case ast.Assign(targets=[ast.Subscript() | ast.Attribute()]):
            yield "statement", ast.Pass()
        case ast.Continue():
            yield "statement", ast.Break()
        case ast.Break():
            yield "statement", ast.Continue()


def _other_operators(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    sides = [getattr(node, side, None) for side in ("left", "right", "value")]
    if any(_is_text(side) or _is_none(side) for side in sides if side) and not isinstance(node, ast.Compare):
        return  # texts put together, `X | None`
    op = node.ops[0] if isinstance(node, ast.Compare) else node.op
    for other in OPPOSITES.get(type(op), ()):
        if isinstance(node, ast.Compare):
            yield "comparison", _with(node, ops=[other()])
        else:
            yield "logic" if isinstance(node, ast.BoolOp) else "arithmetic", _with(node, op=other())


def _fewer_keywords(node: ast.Call) -> Iterator[tuple[str, ast.AST]]:
    for dropped in node.keywords:
        if dropped.arg is not None and dropped.arg not in SAY_HOW:
            yield "keyword", _with(node, keywords=[each for each in node.keywords if each is not dropped])


def _other_numbers(node: ast.Constant) -> Iterator[tuple[str, ast.AST]]:
    value = node.value
    if isinstance(value, bool):
        yield "constant", ast.Constant(not value)
    elif isinstance(value, int):
        yield "constant", ast.Constant(value + 1)
        if value in {1, 2}:
            yield "constant", ast.Constant(value - 1)
    else:
        yield "constant", ast.Constant(value * 1.5 if value else 1.0)


def _wider_slices(node: ast.Slice) -> Iterator[tuple[str, ast.AST]]:
    for side in ("lower", "upper", "step"):
        if getattr(node, side) is not None:
            yield "slice", _with(node, **{side: None})


def _is_none(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _with(node: ast.AST, **fields: object) -> ast.AST:
    new = copy.copy(node)
    for name, value in fields.items():
        setattr(new, name, value)
    return new


def _text(node: ast.AST) -> str:
    """One line; of a compound statement its head."""
    return ast.unparse(ast.fix_missing_locations(copy.deepcopy(node))).split("\n", 1)[0]
