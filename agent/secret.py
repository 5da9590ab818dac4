"""Secrets in files of their own."""

from pathlib import Path

from tapwarden.model.errors import ConfigError


def read_token(path: Path, key: str = "token_file") -> str:
    """A secret from a file only its owner may read. Raises ConfigError."""
    try:
        if path.stat().st_mode & 0o007:
            raise ConfigError(f"{path} can be read by everyone on this host; chmod 600 {path}", key=key)
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is no text"
        raise ConfigError(f"{path}: {reason}", key=key) from error
