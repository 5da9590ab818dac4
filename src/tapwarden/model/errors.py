"""What can go wrong, by what the caller does next."""


class ConfigError(Exception):
    """The configuration cannot be used.

    ``path`` is the file, ``key`` the dotted key, ``line`` 1-based where known; the message says what to write instead.
    """

    def __init__(self, message: str, *, path: str = "", key: str = "", line: int | None = None) -> None:
        self.path, self.key, self.line, self.message = path, key, line, message
        where = path + (f":{line}" if line else "")
        super().__init__(": ".join(part for part in (where, key, message) if part))


class RuleError(Exception):
    """One rule that cannot be loaded; collected, never fatal to the rest. ``line`` and ``column`` are 1-based."""

    def __init__(
        self, file: str, line: int, column: int, reason: str, *, sid: int | None = None, hint: str = ""
    ) -> None:
        self.file, self.line, self.column, self.reason, self.sid, self.hint = file, line, column, reason, sid, hint
        super().__init__(f"{file}:{line}:{column}: {reason}" + (f" ({hint})" if hint else ""))


class SourceError(Exception):
    """A capture, feed or followed file cannot be read now. ``retry`` says whether trying again can help."""

    def __init__(self, message: str, *, retry: bool = False) -> None:
        self.retry = retry
        super().__init__(message)


class StoreError(Exception):
    """A store cannot take or give data now (full, read-only, locked, away). Nothing was partly written."""


class MitigationError(Exception):
    """A mitigator could not do what was asked; shown to people and reconciled later."""


class RefusedError(Exception):
    """Policy forbids this (guard, approval, authority). ``entry`` names the rule or list entry that said no."""

    def __init__(self, message: str, *, entry: str = "") -> None:
        self.entry = entry
        super().__init__(message + (f" [{entry}]" if entry else ""))


class ChannelError(Exception):
    """A report could not be delivered. ``permanent`` means the receiver refused its content: retrying cannot help."""

    def __init__(self, message: str, *, permanent: bool = False) -> None:
        self.permanent = permanent
        super().__init__(message)
