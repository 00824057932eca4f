"""``python -m exuno``."""

from exuno.cli import run

if __name__ == "__main__":
    run()
