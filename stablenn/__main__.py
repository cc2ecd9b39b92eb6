from stablenn.cli import main

raise SystemExit(main())
