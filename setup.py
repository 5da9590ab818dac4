"""The package map and the Rust extension; everything else about the build is in pyproject.toml.

The owner's directories stay at the top of the tree and are imported as ``tapwarden.<area>``.
"""

import os
import shutil
import subprocess

from setuptools import find_packages, setup
from setuptools_rust import Binding, RustExtension

AREAS = ("agent", "collectors", "signatures", "mitigation", "dashboards")

packages = ["tapwarden", "tapwarden.model"]
package_dir = {"tapwarden": "src/tapwarden"}
for area in AREAS:
    package_dir[f"tapwarden.{area}"] = area
    packages += [f"tapwarden.{area}", *(f"tapwarden.{area}.{name}" for name in find_packages(area))]


def has_hyperscan() -> bool:
    """Whether libhs (Hyperscan on x86, Vectorscan elsewhere) can be linked; without it the matcher is pure Rust."""
    if os.environ.get("TAPWARDEN_HYPERSCAN") == "0" or shutil.which("pkg-config") is None:
        return False
    return subprocess.run(["pkg-config", "--exists", "libhs"], check=False).returncode == 0


setup(
    packages=packages,
    package_dir=package_dir,
    include_package_data=False,  # package-data in pyproject.toml says which
    rust_extensions=[
        RustExtension(
            "tapwarden._core",
            path="native/python/Cargo.toml",
            binding=Binding.PyO3,
            py_limited_api=True,
            features=["hyperscan"] if has_hyperscan() else [],
        )
    ],
)
