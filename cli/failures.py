"""A list of what failed: each id with the code of its error."""

from collections.abc import Mapping

from rich.console import Console
from rich.text import Text

LISTED = 50
"""The most failures that are listed. More than that have the same cause."""


def show_failures(console: Console, codes: Mapping[str, str]) -> None:
    """Prints one line for each failed id."""
    for failed_id, code in list(codes.items())[:LISTED]:
        console.print(Text(f"failed: {failed_id}  {code}"), soft_wrap=True)
    if len(codes) > LISTED:
        console.print(f"and {len(codes) - LISTED} more")
