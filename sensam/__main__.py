"""`python -m sensam` is the same as `sensam`."""

from sensam.cli.app import main

main()
