"""Everything the functions under `api/` share. Nothing in here may import `api`, `dev` or a test extra."""
