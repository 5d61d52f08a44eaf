"""One disk where every service is reached by IPv6, and where every call goes through a proxy."""

import json
from pathlib import Path

import pytest

from tests.lab.lab import Lab
from tests.lab.tunnel import ConnectProxy, Relay


def kubeconfig(lab: Lab, server: str) -> str:
    config = json.loads(Path(lab.environment()["KUBECONFIG"]).read_text())
    config["clusters"][0]["cluster"]["server"] = server
    file = lab.directory / "other-kubeconfig"
    file.write_text(json.dumps(config))
    return str(file)


@pytest.mark.any_kube
def test_a_disk_is_populated_by_ipv6(lab: Lab) -> None:
    target = lab.add_target()
    with (
        Relay(("127.0.0.1", lab.vcenter_port)) as vcenter,
        Relay(("127.0.0.1", lab.array_port)) as array,
        Relay(("127.0.0.1", lab.kube_port)) as kube,
    ):
        environment: dict[str, str | None] = {
            "GOVMOMI_HOSTNAME": f"[::1]:{vcenter.port}",
            "STORAGE_HOSTNAME": f"https://[::1]:{array.port}/",
            "KUBECONFIG": kubeconfig(lab, f"https://[::1]:{kube.port}"),
        }
        with lab.program(target, arguments={"http-endpoint": "[::1]:0"}, environment=environment) as program:
            assert program.wait() == 0, program.text()
    assert lab.copied(target)
    assert lab.leftovers(target) == []
    assert program.status.result == "success"


@pytest.mark.any_kube
def test_a_disk_is_populated_through_a_proxy(lab: Lab) -> None:
    target = lab.add_target()
    ports = {lab.vcenter_port, lab.array_port, lab.kube_port}
    with ConnectProxy("Basic dTpnZWhlaW0=") as proxy:
        environment: dict[str, str | None] = {"HTTPS_PROXY": f"http://u:geheim@127.0.0.1:{proxy.port}"}
        with lab.program(target, environment={**environment, "LOG_LEVEL": "debug"}) as program:
            assert program.wait() == 0, program.text()
        assert set(proxy.asked) == {f"127.0.0.1:{port}" for port in ports}
    assert lab.copied(target)
    assert lab.leftovers(target) == []
    assert "geheim" not in program.text()
