"""Setting up and running: what `./start` and `./check` do on a machine that has Python and nothing else."""
