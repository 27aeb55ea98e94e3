"""The commands that people run on a deployment: `python -m cli COMMAND`."""
