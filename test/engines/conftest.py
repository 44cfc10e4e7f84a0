# SPDX-License-Identifier: Apache-2.0
"""Real engines that drive wharf-oci as their runtime. WHARF_OCI names another runtime, to judge a test."""
import os
import subprocess

import pytest

from lib import bundle

RUNTIME = os.environ.get("WHARF_OCI", os.path.join(bundle.TOP, "build/bin/wharf-oci"))


@pytest.fixture
def image(world):
    """A tar of a small root, for `import`."""
    bundle.make_root("root")
    subprocess.run(["tar", "-C", "root", "-cf", "root.tar", "."], check=True)
    return os.path.abspath("root.tar")


@pytest.fixture
def runtime():
    if not os.path.exists(RUNTIME):
        pytest.skip(f"{RUNTIME} is not built")
    return RUNTIME
