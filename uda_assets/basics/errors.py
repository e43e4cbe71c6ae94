"""The errors that a user can resolve. They form one family, and each has a message of one line."""

from __future__ import annotations


class UdaError(Exception):
    """The data, or something else that the program was asked to work on, is at fault (exit code 1)."""


class UsageError(UdaError):
    """The program was called with wrong arguments or settings (exit code 2)."""


class DropUnreadable(UdaError):
    """A drop cannot be read at all.

    Attributes:
        reason: A short code such as ``missing_column``.
        advice: What is wrong and what to do, in one line.
    """

    def __init__(self, reason: str, advice: str) -> None:
        super().__init__(f"{reason}: {advice}")
        self.reason = reason
        self.advice = advice

    def __reduce__(self) -> tuple[type[DropUnreadable], tuple[str, str]]:
        # Errors of tasks are pickled on their way from a worker.
        return type(self), (self.reason, self.advice)


class DamagedFile(UdaError):
    """A file in the data root has changed since the program wrote it."""


class OtherFormat(UdaError):
    """A file in the data root has the format of another version of this program."""

    def __init__(self, path: object, found: int, known: int) -> None:
        super().__init__(
            f"{path} has format {found}, but this version reads only format {known}; run the version of uda_assets "
            "that wrote it, or use another data root"
        )


class DropBusy(UdaError):
    """A drop vanished or kept changing while it was being read; it stays pending."""


class DropRejected(UdaError):
    """A ``fail_fast`` run met a drop that has to be rejected as a whole."""


class ClusterFault(UdaError):
    """The cluster cannot be reached or was lost during the run; the run has committed nothing by halves."""


def one_line(error: BaseException) -> str:
    """Return the first 200 characters of an error's message in one line, or its type if it has no message."""
    return " ".join(str(error).split())[:200] or type(error).__name__


def memory_fault(error: BaseException) -> str | None:
    """Return a line that explains a want of memory, or None for any other error. DuckDB has an error of its own."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryException":
        return "there is not enough memory; see UDA_MEMORY_LIMIT and UDA_THREADS"
    return None
