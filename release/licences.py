"""Prints the licences of what a release is made of: name, version and licence of every library that is linked into the
module or the command, and the texts that its package brings, each once.

    python3 release/licences.py
"""

import json
import pathlib
import subprocess
import sys

NAMES = ("LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE")
MODULE = ["--target", "wasm32-wasip1"]
COMMAND = ["--features", "cli"]


def cargo(*arguments: str) -> str:
    return subprocess.run(["cargo", *arguments], check=True, capture_output=True, text=True).stdout


def linked(of: list) -> set:
    """Name and version of each library; what only runs while building is none."""
    tree = cargo("tree", "--locked", "--edges", "normal,no-proc-macro", "--prefix", "none", "--format", "{p}", *of)
    return {tuple(line.split()[:2]) for line in tree.splitlines() if line}


def texts(package: dict) -> list:
    folder = pathlib.Path(package["manifest_path"]).parent
    files = [path for path in sorted(folder.iterdir()) if path.is_file() and path.name.upper().startswith(NAMES)]
    return [path.read_text(errors="replace").strip() for path in files]


def main() -> int:
    packages = json.loads(cargo("metadata", "--locked", "--format-version", "1", "--all-features"))["packages"]
    wanted = linked(MODULE) | linked(COMMAND)
    chosen = [package for package in packages if (package["name"], "v" + package["version"]) in wanted]
    chosen = sorted((package for package in chosen if package["source"]), key=lambda package: (package["name"], package["version"]))
    holders = {}
    print("Portcullis is made with these libraries, and with Rust's standard library (MIT OR Apache-2.0).\n")
    for package in chosen:
        print(f"{package['name']} {package['version']}: {package['license']}, {package['repository']}")
        for text in texts(package):
            holders.setdefault(text, []).append(f"{package['name']} {package['version']}")
    for text, names in holders.items():
        print(f"\n{'=' * 80}\nOf {', '.join(names)}:\n\n{text}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
