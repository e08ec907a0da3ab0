"""`python -m pyncnnq`: the command line without its installed script."""

from pyncnnq.cli import main

main()
