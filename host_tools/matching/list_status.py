"""How far the list in use can be relied upon."""

from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class ListStatus:
    """How far a list can be relied upon.

    Attributes:
        kind: "F0" or "F1".
        digest: names the content; SHA-256 in hex.
        version, published_s: as signed; None without a signature. Unix s.
        fetched_s: when the source was last found to have this content, Unix s.
        age_s: since it was published, or else since it was fetched.
        signed: by the configured key.
        problem: why this is an older list than the source should have given, in a sentence; None: all is well.
    """

    kind: str
    digest: str
    version: int | None
    published_s: int | None
    fetched_s: int
    age_s: int
    signed: bool
    problem: str | None

    def as_dict(self) -> dict[str, object]:
        """For machines."""
        return asdict(self)

    def words(self) -> str:
        """For people: "F0 list, version 7, signed, published 3 hours ago"."""
        if self.signed:
            return f"{self.kind} list, version {self.version}, signed, published {_age(self.age_s)} ago"
        return f"{self.kind} list, not signed, fetched {_age(self.age_s)} ago"


def _age(seconds: int) -> str:
    for unit, unit_s in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= unit_s:
            number = seconds // unit_s
            return f"{number} {unit}{'s' if number > 1 else ''}"
    return "less than a minute"
