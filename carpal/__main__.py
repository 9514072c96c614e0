"""`python -m carpal` is `carpal`."""

from carpal.cli import main

main()
