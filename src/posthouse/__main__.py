"""`python -m posthouse` and the `posthouse` script."""

from posthouse.cli import main

if __name__ == "__main__":
    main()
