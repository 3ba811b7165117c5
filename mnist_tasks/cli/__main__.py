"""`python -m mnist_tasks.cli`: the commands, with the environment as it is. In a checkout, `bin/mnist` finds more."""

from mnist_tasks.cli.app import app

if __name__ == "__main__":
    app(prog_name="mnist")
