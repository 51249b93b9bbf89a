from tdbench.cli import main

main()
