"""Everything the domain can refuse, as one tree.

DomainError
├── NotFound          what was named does not exist, or the asker may not know that it does
├── Denied            the asker is known and may not do this
├── IllegalState      right in itself, but not in this state (the reason says which)
├── StaleVersion      somebody else changed it since it was read
├── Malformed         can never be right, whatever the state
├── Unavailable       not now; try again after `retry_after_s`
└── Unreadable        what is stored cannot be understood; no fault of the asker

Errors carry data, not prose for screens and not HTTP. `infra.http` alone turns a group into a
status and `code` into a problem type. A concrete error sets `code` and `title` and keeps what
happened in its fields.
"""

from typing import Any, ClassVar


class DomainError(Exception):
    """Base of everything that the domain refuses."""

    code: ClassVar[str] = "domain-error"
    title: ClassVar[str] = "The request was refused"

    def __init__(self, **data: Any) -> None:
        super().__init__(data)
        self._data = data

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["_data"][name]
        except KeyError:
            raise AttributeError(name) from None

    def data(self) -> dict[str, Any]:
        """JSON-safe facts about this refusal."""
        return dict(self._data)

    def detail(self) -> str:
        """One sentence for a person; may use the facts."""
        return self.title + "."

    def __str__(self) -> str:
        return f"{self.code}: {self.detail()}"


class NotFound(DomainError):
    code = "not-found"
    title = "Not found"


class Denied(DomainError):
    code = "denied"
    title = "Not allowed"


class IllegalState(DomainError):
    code = "illegal-state"
    title = "Not possible in this state"


class StaleVersion(DomainError):
    code = "stale-version"
    title = "Changed by somebody else in the meantime"


class Malformed(DomainError):
    code = "malformed"
    title = "The request is malformed"


class Unavailable(DomainError):
    """Nothing is wrong with the request; carries `retry_after_s`."""

    code = "unavailable"
    title = "Not available at the moment"


class Unreadable(DomainError):
    """What was stored cannot be understood: a fault of ours, and none of the asker's business."""

    code = "unreadable"
    title = "Something stored cannot be understood"
