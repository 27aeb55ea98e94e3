"""The commands that people run on a deployment: `python -m cli COMMAND`.

- `main.py`: the list of commands. `project.py`: the project that a command works on.
- `accounts/`, `dead_letters/`, `doctor/`, `replay/`, `erase.py`, `retention.py`, `schedule.py`: the commands.
- `retries.py`: repeats a call that fails for a while. `pages.py`: works through many rows, page by page.
- `moment.py`: a time as an option. `examples.py`: the examples in `--help`. `failures.py`: a list of what failed.
"""
