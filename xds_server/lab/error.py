"""What stops a trial before anything was measured, and how to mend it."""


class LabError(Exception):
    """The lab cannot measure: something is missing, or a part of it failed.

    `hint` tells how to mend it, where that is known.
    """

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint

    def __str__(self) -> str:
        message = str(self.args[0])
        return f"{message}\n  hint: {self.hint}" if self.hint else message


class UsageError(LabError):
    """What was asked for cannot be: nothing is missing, the question is wrong."""
