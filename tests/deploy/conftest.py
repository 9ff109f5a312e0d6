"""The image, made once for all tests of this folder."""

import pytest

from tests.support.image import Image


@pytest.fixture(scope="package")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    made = Image(tmp_path_factory.mktemp("image"))
    made.build()
    return made
