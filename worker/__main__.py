"""`python -m worker` is `guardstream`."""

from worker.cli import main

if __name__ == "__main__":
    main()
