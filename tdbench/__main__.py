from tdbench.cli.main import main

main()
