"""The examples at the end of a command's `--help`."""


def examples(*commands: str) -> str:
    """Returns the epilog of a click command: one example on each line, after `python -m cli`."""
    # A line with \b keeps click from wrapping the block.
    return "\n".join(["\b", "Examples:", *(f"  python -m cli {command}" for command in commands)])
