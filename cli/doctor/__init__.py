"""`python -m cli doctor`: checks a deployment, and names the cause and the fix of each failure.

- `command.py`: the command line. `examination.py`: the list of checks and what each needs.
- `case.py`: the deployment that is checked. `finding.py`: the result of a check.
- `front_door.py`, `qstash.py`, `pipe.py`, `database.py`, `graph.py`: the checks.
"""
