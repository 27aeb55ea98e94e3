"""What every package needs and no vendor has a part in.

- `settings.py`: the settings, read from the environment. `setting_checks.py`: the form of each value.
  `paste_slips.py`: what no value can have in it.
- `env_vars.py`: the names and defaults of the settings, and where to get each.
- `log.py`: one JSON object a log line, without secrets. `request_log.py`: how many lines a request writes.
  `stray_output.py`: what is written past the log. `start_log.py`: starts all that.
- `deadline.py`: how much time is left.
- `safe_json.py`: JSON from outside, made storable. `model.py`: the base of every model.
- `constant_time.py`: comparison of secrets and signatures.
"""
