"""Everything that can go wrong for a reason a user can mend, one family, each with a message of one line."""

from __future__ import annotations


class UdaError(Exception):
    """The data are at fault, or what the program was asked to work on (exit code 1)."""


class UsageError(UdaError):
    """The program was used wrongly (exit code 2)."""


class DropUnreadable(UdaError):
    """A drop as a whole cannot be read.

    Attributes:
        reason: A short code such as ``missing_column``.
        advice: What is wrong and what to do, in one line.

    """

    def __init__(self, reason: str, advice: str) -> None:
        super().__init__(f"{reason}: {advice}")
        self.reason = reason
        self.advice = advice

    def __reduce__(self) -> tuple[type[DropUnreadable], tuple[str, str]]:
        # An error of a task crosses processes.
        return type(self), (self.reason, self.advice)


class DamagedFile(UdaError):
    """A file of the data root is not what it was when it was written."""


class OtherFormat(UdaError):
    """A file of the data root was written by a version of this program that used another format."""

    def __init__(self, path: object, found: int, known: int) -> None:
        super().__init__(
            f"{path} has format {found}, and this version reads format {known} alone; run the version of uda_assets "
            "that wrote it, or name another data root"
        )


class DropBusy(UdaError):
    """A drop that vanished or kept changing while it was to be read; it stays pending."""


class MalformedRecord(UdaError):
    """The first malformed record of a ``fail_fast`` run."""

    def __init__(self, drop: str, line: int, reason: str, raw: str) -> None:
        super().__init__(f"drop {drop!r}, line {line}: {reason}: {raw[:200]!r}")
        self.drop, self.line, self.reason, self.raw = drop, line, reason, raw

    def __reduce__(self) -> tuple[type[MalformedRecord], tuple[str, int, str, str]]:
        return type(self), (self.drop, self.line, self.reason, self.raw)


class DropRejected(UdaError):
    """A drop that would be rejected whole, in a ``fail_fast`` run."""


class ClusterFault(UdaError):
    """The cluster cannot be reached, or was lost midway; nothing of the run is half-committed."""


def one_line(error: BaseException) -> str:
    """The beginning of what another program's error says, in one line."""
    return " ".join(str(error).split())[:200] or type(error).__name__
