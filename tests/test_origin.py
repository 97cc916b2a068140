"""What a file says stands beside every verdict, in every face, with and without a list of signers; nothing without credentials is ever called invalid."""
import csv
import json
import os
import subprocess
import sys
import threading
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
import pytest
from aivd_nb.core import shared_data
from aivd_nb.synth import encode, generated_frames

IPTC = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"


def certificate(subject, key, issuer, issuer_key, ca):
    "A certificate of the kind that C2PA asks for"
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
    def name(common):
        return x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Example"), x509.NameAttribute(NameOID.COMMON_NAME, common)])
    now = datetime.now(timezone.utc)
    c = x509.CertificateBuilder().subject_name(name(subject)).issuer_name(name(issuer)).public_key(key.public_key()).serial_number(x509.random_serial_number())
    c = c.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1)).add_extension(x509.BasicConstraints(ca, None), True)
    c = c.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
    c = c.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), False)
    c = c.add_extension(x509.KeyUsage(not ca, False, False, False, False, ca, ca, False, False), True)
    if not ca:
        c = c.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), False)
    return c.sign(issuer_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


class Clips:
    "A plain clip, the same signed as the work of a generative model, the signed one with a changed byte; and the authority behind the signer"
    def __init__(self, folder):
        import c2pa
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ec
        ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
        ca = certificate("Test authority", ca_key, "Test authority", ca_key, True)
        leaf = certificate("Test signer", key, "Test authority", ca_key, False)
        private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        self.plain, self.signed, self.changed, self.anchors = (folder/n for n in ("plain.mp4", "signed.mp4", "changed.mp4", "anchors.pem"))
        encode(self.plain, generated_frames(48, (320, 240)), "-c:v", "libx264", "-pix_fmt", "yuv420p", fps=24)
        self.anchors.write_bytes(ca)
        claim = {"claim_generator_info": [{"name": "Example generator", "version": "1"}],
            "assertions": [{"label": "c2pa.actions", "data": {"actions": [{"action": "c2pa.created", "digitalSourceType": IPTC}]}}]}
        with c2pa.Builder(json.dumps(claim)) as b, open(self.plain, "rb") as i, open(self.signed, "w+b") as o:
            b.sign(c2pa.Signer.from_info(c2pa.C2paSignerInfo(b"es256", leaf + ca, private, None)), "video/mp4", i, o)
        data = bytearray(self.signed.read_bytes())
        data[data.index(b"mdat") + 500] ^= 1
        self.changed.write_bytes(data)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    return Clips(tmp_path_factory.mktemp("clips"))


@pytest.fixture
def quiet_home(tmp_path, monkeypatch):
    "A cache folder without a list of signers"
    monkeypatch.setenv("AIVD_CACHE", str(tmp_path/"cache"))
    monkeypatch.delenv("AIVD_C2PA_TRUST", raising=False)


def aivd(*args, **more):
    code = "from aivd_nb.cli import main; main()"
    return subprocess.run([sys.executable, "-c", code, *map(str, args)], capture_output=True, text=True, env=os.environ | more, timeout=300)


UNCHECKED = "The file says it was made with a generative model (Example generator 1), signed by Test signer, Example (signature valid; whether to trust the signer is not checked here)"
TRUSTED = UNCHECKED.replace("signature valid; whether to trust the signer is not checked here", "who is on the list of signers")


def test_predict_says_it_in_words_and_json(clips, quiet_home):
    said = aivd("predict", clips.signed, clips.plain, clips.changed)
    assert said.returncode == 0, said.stderr
    assert UNCHECKED[1:] in said.stdout and "the file says nothing about how it was made" in said.stdout and "fail their check" in said.stdout
    rows = [json.loads(line) for line in aivd("predict", clips.signed, clips.plain, "--json", AIVD_C2PA_TRUST=str(clips.anchors)).stdout.splitlines()]
    assert [(r["origin"]["says_ai"], r["origin"]["credentials"]) for r in rows] == [("signed", "trusted"), (None, "none")]
    assert rows[0]["origin"]["sentence"] == TRUSTED


def test_it_is_never_part_of_the_score(clips, quiet_home):
    from aivd_nb import detector
    d = detector.Detector.load()
    plain, signed = d.predict(clips.plain), d.predict(clips.signed)
    assert plain.timeline == signed.timeline and plain.origin["sentence"] != signed.origin["sentence"]


def test_provenance_command(clips, quiet_home):
    said = aivd("provenance", clips.signed, "--trust", clips.anchors)
    assert TRUSTED in said.stdout and "signers: checked against the list anchors.pem" in said.stdout
    assert json.loads(aivd("provenance", clips.changed, "--json").stdout)["origin"]["credentials"] == "invalid"
    assert aivd("provenance").returncode == 2


def test_scan_has_columns(clips, quiet_home, tmp_path):
    import pandas as pd
    from aivd_nb.scan import scan
    scan([clips.signed, clips.plain, clips.changed], tmp_path/"found", workers=1, progress=False)
    table = pd.read_parquet(tmp_path/"found").set_index(pd.read_parquet(tmp_path/"found").path.map(lambda p: Path(p).name))
    assert table.says_ai.fillna("").to_dict() == {"signed.mp4": "signed", "plain.mp4": "", "changed.mp4": ""}
    assert table.credentials.to_dict() == {"signed.mp4": "valid, signer not checked", "plain.mp4": "none", "changed.mp4": "invalid"}
    assert table.origin["signed.mp4"] == UNCHECKED
    from aivd_nb.scan_report import write_scan_report
    assert "made with a generative model (Example generator 1)" in write_scan_report(tmp_path/"found").read_text()


def test_scan_reads_tables_of_before(clips, quiet_home, tmp_path):
    import pyarrow.parquet as pq
    from aivd_nb.scan import scan
    out = tmp_path/"found"
    scan([clips.plain], out, workers=1, progress=False)
    part = out/"part-000001.parquet"
    pq.write_table(pq.read_table(part).drop(["origin", "says_ai", "credentials"]), part)
    summary = scan([clips.plain, clips.signed], out, workers=1, progress=False)
    assert (summary.kept, summary.analysed) == (1, 1) and len(pq.read_table(out)) == 2


def test_widget_shows_it(clips, quiet_home):
    from aivd_nb.widget import DetectorWidget
    w = DetectorWidget(background=False)
    w.path.value = str(clips.signed)
    w.go.click()
    assert w.results[0].origin["says_ai"] == "signed"
    assert any(UNCHECKED in getattr(c, "value", "") for c in w.shown.children)


def test_the_confined_process_says_it_with_a_list(clips, quiet_home, tmp_path):
    import shutil
    from aivd_nb.keeper import load_detector
    from aivd_nb.sandbox import Sandbox
    from aivd_nb.trust import trust_file
    trust_file().parent.mkdir(parents=True)
    shutil.copy(clips.anchors, trust_file())
    with Sandbox(load_detector, tmp_path/"box") as box:
        for clip in (clips.signed, clips.changed):
            shutil.copy(clip, box.folder/clip.name)
        told = [box.run(box.folder/c.name)["provenance"] for c in (clips.signed, clips.changed)]
    assert [(t["credentials"], t["strength"]) for t in told] == [("trusted", "signed"), ("invalid", None)]
    assert told[0]["sentence"] == TRUSTED


def test_update_trust_from_a_server(clips, quiet_home):
    class Lists(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"Subject\tCN=Test authority\n" + clips.anchors.read_bytes())
        def log_message(self, *_):
            pass
    server = HTTPServer(("127.0.0.1", 0), Lists)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    said = aivd("provenance", "--update-trust", "--from", f"http://127.0.0.1:{server.server_port}/list.pem")
    server.shutdown()
    server.server_close() # else the next one would wait for an answer
    assert said.returncode == 0 and "(0 days old): 1 certificates" in said.stderr, said.stderr
    assert TRUSTED in aivd("provenance", clips.signed).stdout
    bad = aivd("provenance", "--update-trust", "--from", f"http://127.0.0.1:{server.server_port}/list.pem")
    assert bad.returncode == 2 and bad.stderr.count("\n") == 1 and "stays in use" in bad.stderr
    assert TRUSTED in aivd("provenance", clips.signed).stdout


@pytest.mark.skipif(shared_data() is None or not (shared_data()/"cases").is_dir(), reason="the collection is not here")
def test_nothing_without_credentials_is_invalid():
    from aivd_nb.origin import origin
    cases = shared_data()/"cases"
    states = {r["file"]: origin(cases/r["file"]) for r in csv.DictReader((cases/"cases.csv").open())}
    assert {o["credentials"] for o in states.values()} <= {"none", "not checked"} and len(states) > 20
    assert all(o["sentence"] for o in states.values())
