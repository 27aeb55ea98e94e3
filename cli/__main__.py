"""`python -m cli`: hands over to the command line in `cli.main`."""

from cli.main import main

if __name__ == "__main__":
    main()
