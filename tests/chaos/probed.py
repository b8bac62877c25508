"""The program with the probe's kinds of work: `python -m tests.chaos.probed serve`."""

from posthouse import slices
from tests.tasks.probe import PROBE

# Before anything composes them.
slices.SLICES = (*slices.SLICES, PROBE)

if __name__ == "__main__":
    from posthouse.__main__ import main

    main()
