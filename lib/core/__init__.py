"""What every package needs and no vendor has a part in.

- `settings.py`: the settings, read and checked. `env_vars.py`: their names, defaults and where each is found.
- `log.py`: one JSON object a log line, without secrets. `deadline.py`: how much time is left.
- `safe_json.py`: JSON from outside, made storable. `model.py`: the base of every model.
- `constant_time.py`: comparison of secrets.
"""
