"""`python -m bon`."""

from bon.cli import main

if __name__ == "__main__":
    main()
