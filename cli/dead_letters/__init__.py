"""`python -m cli dead-letters`: lists, shows, retries and discards what QStash gave up on.

- `command.py`: the command line. `selection.py`: which letters a command is about.
- `work.py`: works off many letters. `report.py`: how letters and results are shown.
"""
