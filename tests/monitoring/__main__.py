"""`python -m tests.monitoring` writes the dashboard's JSON, and draws what it shows of runs in the lab: dashboard.png.

The drawing is for looking at titles, units, legends and places; Grafana draws in its own way. matplotlib, which nothing
else needs, is in an environment of its own, from `drawing/requirements.txt`.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.lab.lab import Lab
from tests.lab.program import ROOT
from tests.lab.prometheus import Prometheus
from tests.monitoring.runs import DASHBOARD, play, write_rules

DRAWING = ROOT / "tests/monitoring/drawing"
PICTURE = ROOT / "dashboard.png"


def main() -> None:
    """Write, run, ask and draw."""
    code = [sys.executable, str(ROOT / "deploy/monitoring/dashboard.py")]
    DASHBOARD.write_text(subprocess.run(code, capture_output=True, text=True, check=True).stdout)
    with tempfile.TemporaryDirectory(prefix="dashboard-") as name:
        folder = Path(name)
        with Lab("simulated") as lab, Prometheus(folder, write_rules(folder)) as prometheus:
            night = play(lab, prometheus)
            panels = json.loads(DASHBOARD.read_text())["panels"]
            for panel in panels:
                panel["answers"] = [night.ask(query) for query in panel.get("targets", [])]
        answers = folder / "answers.json"
        answers.write_text(json.dumps(panels))
        tool = [str(Path(sys.executable).parent / "uv"), "run", "--quiet", "--no-project", "--isolated"]
        packages = ["--with-requirements", str(DRAWING / "requirements.txt")]
        subprocess.run([*tool, *packages, str(DRAWING / "draw.py"), str(answers), str(PICTURE)], check=True)
    print(f"{DASHBOARD.name} is written; {PICTURE.name} shows it with {len(night.runs)} runs.")


if __name__ == "__main__":
    main()
