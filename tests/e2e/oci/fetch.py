"""Gets the module out of a registry by the rules of Istio's agent and Envoy Gateway: fetch.py REGISTRY REPOSITORY TAG OUT

The rules are those of `imagefetcher.go` of both projects, read and written anew: an OCI or Docker manifest whose last layer
is a gzipped tar archive that holds plugin.wasm, else one of exactly two layers, one of which is the module as it is.
"""

import gzip
import hashlib
import io
import json
import sys
import tarfile
import urllib.request

OCI = "application/vnd.oci.image.manifest.v1+json"
DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
ARCHIVES = {
    OCI: "application/vnd.oci.image.layer.v1.tar+gzip",
    DOCKER: "application/vnd.docker.image.rootfs.diff.tar.gzip",
}
MODULE = "application/vnd.module.wasm.content.layer.v1+wasm"


def get(url, accept="*/*"):
    with urllib.request.urlopen(urllib.request.Request(url, headers={"accept": accept})) as answer:
        return answer.headers, answer.read()


def plugin(archive):
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(archive))) as tar:
        for entry in tar:
            if entry.name.rsplit("/", 1)[-1] == "plugin.wasm":
                return tar.extractfile(entry).read()
    raise ValueError("no plugin.wasm in the last layer")


def main():
    registry, repository, tag, out = sys.argv[1:]
    base = f"http://{registry}/v2/{repository}"
    headers, content = get(f"{base}/manifests/{tag}", f"{OCI}, {DOCKER}")
    manifest = json.loads(content)
    kind = headers["content-type"]
    assert kind in ARCHIVES and manifest["mediaType"] == kind, kind
    assert headers["docker-content-digest"] == f"sha256:{hashlib.sha256(content).hexdigest()}"

    def blob(layer):
        content = get(f"{base}/blobs/{layer['digest']}")[1]
        assert layer["digest"] == f"sha256:{hashlib.sha256(content).hexdigest()}"
        assert layer["size"] == len(content)
        return content

    layers = manifest["layers"]
    if layers[-1]["mediaType"] == ARCHIVES[kind]:
        form, module = "image", plugin(blob(layers[-1]))
    else:
        assert len(layers) == 2, f"number of layers must be 2 but got {len(layers)}"
        form, module = "artifact", blob(next(layer for layer in layers if layer["mediaType"] == MODULE))
    with open(out, "wb") as file:
        file.write(module)
    print(json.dumps({"form": form, "annotations": manifest["annotations"]}))


main()
