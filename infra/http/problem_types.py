"""The register of problem types: what `type` can be, and when. `docs/problems.md` is made from it."""

import importlib
import inspect
import pkgutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from domain.errors import DomainError, Unreadable
from infra.http.error_map import status_of

TYPE_PREFIX = "urn:megacity:problem:"


@dataclass(frozen=True, slots=True)
class ProblemType:
    slug: str
    status: int
    title: str
    when: str

    @property
    def uri(self) -> str:
        return TYPE_PREFIX + self.slug


MALFORMED_JSON = ProblemType(
    "malformed-json", 400, "The body is not JSON", "The body cannot be read as JSON."
)
BAD_REQUEST = ProblemType(
    "bad-request", 400, "The request cannot be read", "The request breaks HTTP's own rules."
)
UNKNOWN_ROUTE = ProblemType(
    "unknown-route", 404, "There is nothing at this address", "No route has this path."
)
METHOD_NOT_ALLOWED = ProblemType(
    "method-not-allowed",
    405,
    "This address does not take this method",
    "The path exists, the method does not; `Allow` names those that do.",
)
CONTENT_TOO_LARGE = ProblemType(
    "content-too-large", 413, "The body is too large", "The body is larger than `limit_bytes`."
)
UNSUPPORTED_MEDIA_TYPE = ProblemType(
    "unsupported-media-type",
    415,
    "The body has the wrong media type",
    "The route does not read what the `Content-Type` names; `accepted` lists what it reads.",
)
INVALID_REQUEST = ProblemType(
    "invalid-request",
    422,
    "Some of the input is not valid",
    "A field, parameter or header breaks its declared rules; `errors` points to each.",
)
REQUEST_HEADERS_TOO_LARGE = ProblemType(
    "request-headers-too-large",
    431,
    "The headers are too large",
    "The headers of the request are together larger than `limit_bytes`.",
)
INTERNAL_ERROR = ProblemType(
    "internal-error", 500, "Something went wrong on our side", "A fault of ours; quote the `request_id`."
)

PROBLEM_TYPES: tuple[ProblemType, ...] = (
    MALFORMED_JSON,
    BAD_REQUEST,
    UNKNOWN_ROUTE,
    METHOD_NOT_ALLOWED,
    CONTENT_TOO_LARGE,
    UNSUPPORTED_MEDIA_TYPE,
    INVALID_REQUEST,
    REQUEST_HEADERS_TOO_LARGE,
    INTERNAL_ERROR,
)
"""The types that HTTP itself brings; the others are the error classes (see `problem_types`)."""

_BY_STATUS = {each.status: each for each in PROBLEM_TYPES if each is not MALFORMED_JSON}


def type_for_status(status: int) -> ProblemType | None:
    """The HTTP-level type of a bare status, if it has one."""
    return _BY_STATUS.get(status)


def problem_types(packages: Iterable[str]) -> tuple[ProblemType, ...]:
    """Every problem type: HTTP's own, and each error class found in `packages` (imported to find them).

    Raises ValueError when two classes share a slug: a client could not tell them apart.
    """
    names = tuple(packages)
    for name in names:
        _import_all(name)
    found = {each.slug: each for each in PROBLEM_TYPES}
    for error_class in _subclasses(DomainError):
        # Whatever else this process has imported must not change the register.
        if not any(f"{error_class.__module__}.".startswith(f"{name}.") for name in names):
            continue
        if "code" not in error_class.__dict__:
            continue
        if issubclass(error_class, Unreadable):
            continue  # answered as `internal-error`, which tells nothing of it
        if error_class.code in found:
            raise ValueError(f"two problem types are called {error_class.code!r}")
        found[error_class.code] = ProblemType(
            slug=error_class.code,
            status=status_of(error_class),
            title=error_class.title,
            when=_when(error_class),
        )
    return tuple(sorted(found.values(), key=lambda each: (each.status, each.slug)))


def render_problem_docs(packages: Iterable[str]) -> str:
    """`docs/problems.md` as text."""
    lines = [
        "# Problem types",
        "",
        "Every answer that is not a success is a problem document (RFC 9457, `application/problem+json`)",
        "with `type`, `title`, `status`, `detail`, `instance` and `request_id`. `errors`, if there,",
        "lists what is wrong: `in` (`body`, `query`, `path`, `header`), `pointer` (a JSON pointer), `detail`",
        "and `code`.",
        "Further members are facts about the refusal. The `type` is stable; decide on it, not on the words.",
        "",
        "This page is generated from the code (`infra/http/problem_types.py`).",
        "",
        "| type | status | title | when |",
        "| --- | --- | --- | --- |",
    ]
    lines += [
        f"| `{each.uri}` | {each.status} | {each.title} | {each.when} |" for each in problem_types(packages)
    ]
    return "\n".join(lines) + "\n"


def _when(error_class: type[DomainError]) -> str:
    own_doc = error_class.__dict__.get("__doc__")
    if not own_doc:
        return f"{error_class.title}."
    first_paragraph = inspect.cleandoc(own_doc).split("\n\n")[0]
    return " ".join(first_paragraph.split()).replace("|", "\\|")


def _subclasses(error_class: type[DomainError]) -> Iterator[type[DomainError]]:
    for each in error_class.__subclasses__():
        yield each
        yield from _subclasses(each)


def _import_all(name: str) -> None:
    module = importlib.import_module(name)
    for found in pkgutil.walk_packages(getattr(module, "__path__", ()), prefix=f"{name}."):
        importlib.import_module(found.name)
