"""`python -m tests.lab demo` populates one disk and proves it; `… serve` keeps a lab up for others."""

import sys

import click

from populator.storage.registry import VENDORS
from tests.lab import demo, serve


@click.group()
def cli() -> None:
    """The lab: vCenter, ESXi hosts, a storage array and a Kubernetes API on loopback."""


array = click.option(
    "--array",
    type=click.Choice(list(VENDORS)),
    default="ontap",
    show_default=True,
    help="Whose storage array there is.",
)


@cli.command(name="demo")
@array
def run_demo(*, array: str) -> None:
    """Populate one disk, show how it goes, and prove what was done."""
    sys.exit(demo.run(array))


@cli.command(name="serve")
@click.option("--real-kubernetes", is_flag=True, help="kube-apiserver and etcd instead of the small one.")
@array
def run_serve(*, real_kubernetes: bool, array: str) -> None:
    """Start the lab, print how to reach it, and stay until Ctrl-C."""
    serve.run("real" if real_kubernetes else "simulated", array)


cli()
