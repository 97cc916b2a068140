"""The lowest version of each requirement that settings.ini allows, training's among them, as a requirements file: `python tools/lowest_versions.py > lowest.txt`, for pip-audit."""
import configparser
import re
from pathlib import Path

settings = configparser.ConfigParser()
settings.read(Path(__file__).resolve().parents[1]/"settings.ini", encoding="utf-8")
wanted = " ".join(settings["DEFAULT"][f"{extra}requirements"] for extra in ("", "plots_", "train_"))
for name, version in dict(re.findall(r"([\w.-]+)(?:\[[\w,]+\])?>=([\d.]+)", wanted)).items():
    print(f"{name}=={version}{'.0'*(2 - version.count('.'))}")
