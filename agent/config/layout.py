"""Where files live: the usual places of a Linux system, or all below one directory."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Layout:
    """Directories of one installation. Nothing is created here."""

    etc: Path
    lib: Path
    log: Path
    run: Path

    @classmethod
    def at(cls, root: Path | None) -> "Layout":
        """The system's directories, or with ``root`` its ``etc``, ``lib``, ``log`` and ``run`` (made absolute)."""
        if root is None:
            return cls(*(Path(top) / "tapwarden" for top in ("/etc", "/var/lib", "/var/log", "/run")))
        root = root.absolute()
        return cls(root / "etc", root / "lib", root / "log", root / "run")

    @property
    def config_file(self) -> Path:
        """The main configuration file; ``conf.d`` stands beside it."""
        return self.etc / "tapwarden.yaml"

    def state(self, path: str) -> Path:
        """A path of the configuration that names state: relative ones are below ``lib``."""
        return self.lib / path

    def setting(self, path: str) -> Path:
        """A path of the configuration that names an input (rules, certificates): relative ones are below ``etc``."""
        return self.etc / path

    def written(self, path: str) -> Path:
        """A path of the configuration that names an output for other programs: relative ones are below ``log``."""
        return self.log / path
