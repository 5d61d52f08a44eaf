"""`python -m tests.lab demo` populates one disk and proves it; `… serve` keeps a lab up for others."""

import sys

import click

from tests.lab import demo, serve


@click.group()
def cli() -> None:
    """The lab: vCenter, ESXi hosts, ONTAP and a Kubernetes API on loopback."""


@cli.command(name="demo")
def run_demo() -> None:
    """Populate one disk, show how it goes, and prove what was done."""
    sys.exit(demo.run())


@cli.command(name="serve")
@click.option("--real-kubernetes", is_flag=True, help="kube-apiserver and etcd instead of the small one.")
def run_serve(*, real_kubernetes: bool) -> None:
    """Start the lab, print how to reach it, and stay until Ctrl-C."""
    serve.run("real" if real_kubernetes else "simulated")


cli()
