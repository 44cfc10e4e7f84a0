# SPDX-License-Identifier: Apache-2.0
"""A store in the test's own world."""
import pathlib

import pytest

from image.store import Store


@pytest.fixture
def tmp_path(world):
    """A directory of the test's world, in the place of pytest's own."""
    path = pathlib.Path(world.directory)
    path.mkdir(exist_ok=True)
    return path


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")
