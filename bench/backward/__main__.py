"""Backward rules: what networks learn under them, and what they cost.

python -m bench.backward accuracy                     # digits: small CNN, CapsNet
python -m bench.backward accuracy --mnist DIR         # and a perceptron on MNIST
python -m bench.backward speed                        # step times over exact's
"""

import argparse

from bench.backward import accuracy, speed


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.backward",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True)
    for module in (accuracy, speed):
        name = module.__name__.rpartition(".")[2]
        command = commands.add_parser(name, help=module.__doc__.splitlines()[0])
        module.arguments(command)
        command.set_defaults(run=module.run)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
