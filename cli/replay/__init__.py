"""`python -m cli replay`: reprocesses archived events with the parser of this checkout.

- `command.py`: the command line. `reprocess.py`: works through the archive. `report.py`: how the progress is shown.
"""
