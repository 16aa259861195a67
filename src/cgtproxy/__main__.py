"""`python -m cgtproxy`"""

from cgtproxy.cli import main

raise SystemExit(main())
