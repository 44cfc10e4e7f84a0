# SPDX-License-Identifier: Apache-2.0
"""The conformance suite: every test says what it holds the runtime to.

By the marker `spec("config.md#process")`, a section of runtime-spec 1.3; what runc and crun do beyond the
specification is "runc(8)", and the hardening that no specification asks for names its reason as
"security: CVE-...".
"""
import os

import pytest

from lib.oci import oci, pytest_generate_tests, world  # noqa: F401


def pytest_configure(config):
    config.addinivalue_line("markers", "spec(section): what the test holds the runtime to")


def pytest_collection_modifyitems(items):
    here = os.path.dirname(os.path.abspath(__file__))
    for item in items:
        if not str(item.path).startswith(here + os.sep):
            continue
        marker = item.get_closest_marker("spec")
        if not marker:
            raise pytest.UsageError(f"{item.nodeid} names no section of the specification")
        item.user_properties.append(("spec", marker.args[0]))
