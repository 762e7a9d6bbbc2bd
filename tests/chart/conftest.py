import pytest

from helm import program


def pytest_collection_modifyitems(items):
    for item in items:
        if "/chart/" in str(item.path):
            item.add_marker(pytest.mark.chart)


@pytest.fixture(autouse=True)
def _helm_is_here():
    if program.find() is None:
        pytest.skip("helm is not here: make helm-check gets it")
