"""`python -m dev`: hands over to the command line in `dev.cli` and knows nothing else."""

from dev.cli import main

if __name__ == "__main__":
    main()
