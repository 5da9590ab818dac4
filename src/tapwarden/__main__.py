"""``python -m tapwarden`` and the ``tapwarden`` command."""

import sys


def main() -> None:
    """Run the command line; the process exits with its code (0 ok, 1 failed, 2 usage, 3 partial, 4 refused)."""
    from tapwarden.agent.cli import cli  # noqa: PLC0415 - keeps `import tapwarden` free of the whole agent

    sys.exit(cli())


if __name__ == "__main__":
    main()
