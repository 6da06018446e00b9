"""Signs what `pack.py` made, offline and in cosign's layout, and attests how it was built and of what.

    python3 envoy/oci/sign.py --key release.pem --repository ghcr.io/OWNER/portcullis --sbom bom.json target/oci

Each manifest gets two tags beside it: `sha256-DIGEST.sig` with the signature, `sha256-DIGEST.att` with the statements.
The key is an EC key on P-256 in PEM, without a passphrase; OpenSSL signs with it. A signature names the repository that
it is for, so one that is copied elsewhere does not count there.
"""

import argparse
import base64
import json
import pathlib
import subprocess
import sys

from pack import IMAGE_CONFIG, MANIFEST, Layout, as_json

SIGNATURE = "application/vnd.dev.cosign.simplesigning.v1+json"
ENVELOPE = "application/vnd.dsse.envelope.v1+json"
STATEMENT = "application/vnd.in-toto+json"
PROVENANCE = "https://slsa.dev/provenance/v1"
SBOM = "https://cyclonedx.org/bom"


def signed(key: pathlib.Path, message: bytes) -> str:
    """The signature over a message, ECDSA with SHA-256, as cosign writes it."""
    made = subprocess.run(["openssl", "dgst", "-sha256", "-sign", key], input=message, capture_output=True)
    if made.returncode:
        sys.exit(f"openssl did not sign with {key}: {made.stderr.decode().strip()}")
    return base64.b64encode(made.stdout).decode()


def enveloped(key: pathlib.Path, statement: bytes) -> bytes:
    """A statement with its signature (DSSE 1.0)."""
    encoded = f"DSSEv1 {len(STATEMENT)} {STATEMENT} {len(statement)} ".encode() + statement
    return as_json({
        "payloadType": STATEMENT,
        "payload": base64.b64encode(statement).decode(),
        "signatures": [{"keyid": "", "sig": signed(key, encoded)}],
    })


def provenance(annotations: dict, builder: str) -> dict:
    """What it was built from and how (SLSA 1.0)."""
    source = annotations["org.opencontainers.image.source"]
    revision = annotations["org.opencontainers.image.revision"]
    return {
        "buildDefinition": {
            "buildType": f"{source}#make-oci",
            "externalParameters": {"target": "oci"},
            "resolvedDependencies": [{"uri": f"git+{source}", "digest": {"gitCommit": revision}}],
        },
        "runDetails": {"builder": {"id": builder}},
    }


def tag_beside(layout: Layout, tag: str, layers: list) -> None:
    """Keeps layers under a tag, as an image that nobody runs: that is what cosign reads."""
    ids = [layer["digest"] for layer in layers]
    config = {"architecture": "", "os": "", "config": {}, "rootfs": {"type": "layers", "diff_ids": ids}}
    layout.manifest(tag, layout.blob(IMAGE_CONFIG, as_json(config)), layers, {})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--key", type=pathlib.Path, required=True)
    parser.add_argument("--repository", required=True, help="where it will be pulled from, without a tag")
    parser.add_argument("--builder", default="local", help="who built it, as a URI")
    parser.add_argument("--sbom", type=pathlib.Path, required=True, help="a CycloneDX document")
    parser.add_argument("layout", type=pathlib.Path)
    given = parser.parse_args()
    layout = Layout.open(given.layout)
    sbom = json.loads(given.sbom.read_text())
    for descriptor in [entry for entry in layout.manifests if entry["mediaType"] == MANIFEST]:
        digest = descriptor["digest"]
        beside = digest.replace(":", "-")
        claim = as_json({
            "critical": {
                "identity": {"docker-reference": given.repository},
                "image": {"docker-manifest-digest": digest},
                "type": "cosign container image signature",
            },
            "optional": None,
        })
        signature = layout.blob(SIGNATURE, claim)
        signature["annotations"] = {"dev.cosignproject.cosign/signature": signed(given.key, claim)}
        tag_beside(layout, f"{beside}.sig", [signature])
        statements = []
        annotations = json.loads(layout.read(digest))["annotations"]
        for predicate_type, predicate in [(PROVENANCE, provenance(annotations, given.builder)), (SBOM, sbom)]:
            statement = as_json({
                "_type": "https://in-toto.io/Statement/v1",
                "subject": [{"name": given.repository, "digest": {"sha256": digest.removeprefix("sha256:")}}],
                "predicateType": predicate_type,
                "predicate": predicate,
            })
            layer = layout.blob(ENVELOPE, enveloped(given.key, statement))
            layer["annotations"] = {"dev.cosignproject.cosign/signature": "", "predicateType": predicate_type}
            statements.append(layer)
        tag_beside(layout, f"{beside}.att", statements)
    layout.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
