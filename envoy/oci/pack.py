"""Packs the module in the two forms that Istio's agent and Envoy Gateway load, as one OCI image layout.

    python3 envoy/oci/pack.py --module plugin.wasm --version 0.1.0 --revision COMMIT --created 2026-01-31T12:00:00Z OUT

`OUT` gets the tags `image` (an image FROM scratch whose one layer holds /plugin.wasm) and `artifact` (two layers, the
second of which is the module as it is). Both are plain manifests: an index would have a digest of its own, which is not
the one that a gateway compares a pin with. The same arguments give the same bytes, whoever packs them, wherever.
"""

import argparse
import gzip
import hashlib
import io
import json
import pathlib
import sys
import tarfile

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
IMAGE_CONFIG = "application/vnd.oci.image.config.v1+json"
IMAGE_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
MODULE_CONFIG = "application/vnd.module.wasm.config.v1+json"
MODULE_LAYER = "application/vnd.module.wasm.content.layer.v1+wasm"

TAG = "org.opencontainers.image.ref.name"

LICENCE = "Apache-2.0"
ABI = "proxy-wasm 0.2.1"
# As src/versions.rs has them.
POLICY_DOCUMENT = "1"
DECISION_RECORD = "1"


class Layout:
    """An OCI image layout on disk (image-layout-spec 1.0.0)."""

    def __init__(self, root: pathlib.Path):
        self.root = root
        self.manifests = []
        (root / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)

    @classmethod
    def open(cls, root: pathlib.Path) -> "Layout":
        """One that is there already, without what was signed before."""
        layout = cls(root)
        tagged = json.loads((root / "index.json").read_bytes())["manifests"]
        layout.manifests = [entry for entry in tagged if not tag(entry).startswith("sha256-")]
        return layout

    def blob(self, media_type: str, content: bytes) -> dict:
        """Keeps a blob; answers its descriptor."""
        digest = hashlib.sha256(content).hexdigest()
        (self.root / "blobs" / "sha256" / digest).write_bytes(content)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}

    def read(self, digest: str) -> bytes:
        """The blob of this digest."""
        return (self.root / "blobs" / "sha256" / digest.removeprefix("sha256:")).read_bytes()

    def manifest(self, name: str, config: dict, layers: list, annotations: dict) -> dict:
        """Keeps a manifest under a tag of this name; answers its descriptor."""
        content = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": config,
            "layers": layers,
            "annotations": annotations,
        }
        descriptor = self.blob(MANIFEST, as_json(content))
        self.manifests.append(descriptor | {"annotations": {TAG: name}})
        return descriptor

    def close(self):
        """Writes what makes the folder a layout."""
        index = {"schemaVersion": 2, "manifests": self.manifests}
        (self.root / "index.json").write_bytes(as_json(index))
        (self.root / "oci-layout").write_bytes(as_json({"imageLayoutVersion": "1.0.0"}))


def tag(descriptor: dict) -> str:
    return descriptor["annotations"][TAG]


def as_json(value) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def archive(name: str, content: bytes) -> bytes:
    """A tar archive of one file, with nothing in it of who made it, and when."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode = len(content), 0o644
        tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def pack(layout: Layout, module: bytes, version: str, revision: str, created: str, source: str) -> dict:
    """Both forms; answers their digests and the module's."""
    annotations = {
        "org.opencontainers.image.title": "portcullis",
        "org.opencontainers.image.description": "API security filter for Envoy",
        "org.opencontainers.image.version": version,
        "org.opencontainers.image.revision": revision,
        "org.opencontainers.image.source": source,
        "org.opencontainers.image.licenses": LICENCE,
        "org.opencontainers.image.created": created,
        "io.portcullis.abi": ABI,
        "io.portcullis.policy-document": POLICY_DOCUMENT,
        "io.portcullis.decision-record": DECISION_RECORD,
        # What Envoy's and Istio's `sha256` mean; the digest of the image is another.
        "io.portcullis.module.sha256": hashlib.sha256(module).hexdigest(),
    }
    tar = archive("plugin.wasm", module)
    config = {
        "architecture": "wasm",
        "os": "wasip1",
        "created": created,
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(tar).hexdigest()}"]},
        "history": [{"created": created, "created_by": "COPY plugin.wasm /plugin.wasm"}],
    }
    image = layout.manifest(
        "image",
        layout.blob(IMAGE_CONFIG, as_json(config)),
        [layout.blob(IMAGE_LAYER, gzip.compress(tar, mtime=0))],
        annotations,
    )
    about = {"name": "portcullis", "version": version, "abi": ABI}
    artifact = layout.manifest(
        "artifact",
        layout.blob(MODULE_CONFIG, as_json(about)),
        [layout.blob(MODULE_CONFIG, as_json(about)), layout.blob(MODULE_LAYER, module)],
        annotations,
    )
    return {
        "module": annotations["io.portcullis.module.sha256"],
        "image": image["digest"],
        "artifact": artifact["digest"],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--module", type=pathlib.Path, required=True)
    parser.add_argument("--version", required=True)
    parser.add_argument("--revision", required=True, help="the commit that it was built from")
    parser.add_argument("--created", required=True, help="when that was committed, as RFC 3339 in UTC")
    parser.add_argument("--source", default="https://github.com/OWNER/portcullis", help="where the source is")
    parser.add_argument("out", type=pathlib.Path)
    given = parser.parse_args()
    module = given.module.read_bytes()
    if not module.startswith(b"\0asm"):
        print(f"{given.module} is no wasm module", file=sys.stderr)
        return 1
    layout = Layout(given.out)
    digests = pack(layout, module, given.version, given.revision, given.created, given.source)
    layout.close()
    print(f"module    sha256  {digests['module']}   (Envoy's and Istio's `sha256`)")
    print(f"image     digest  {digests['image']}   (what an image is pinned by)")
    print(f"artifact  digest  {digests['artifact']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
