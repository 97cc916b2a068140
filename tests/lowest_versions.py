"""The lowest version of each requirement that settings.ini allows, as a requirements file: `python tests/lowest_versions.py > lowest.txt`, for pip-audit."""
import configparser, re
from pathlib import Path

settings = configparser.ConfigParser()
settings.read(Path(__file__).resolve().parents[1]/"settings.ini", encoding="utf-8")
found = {m[1]: m[2] for m in re.finditer(r"([\w.-]+)(?:\[\w,]+)?>=([\d.]+)", settings["DEFAULT"]["requirements"])}
full = lambda v: v + ".0"*(2 - v.count("."))
for name, version in found.items(): print(f"{name}=={full(version)}")
