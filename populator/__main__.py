"""`python -m populator`."""

from populator.cli import main

main()
