"""The studio's server, without a browser: whom it answers, and where it cannot listen."""

import urllib.error
import urllib.request

import pytest

from helpers.steered import steered_model
from helpers.studio import running_studio
from synctrack.errors import InputError

pytestmark = pytest.mark.medium


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("studio")


@pytest.fixture(scope="module")
def studio(place):
    with running_studio(steered_model(), place / "root") as studio:
        yield studio


@pytest.mark.parametrize(
    "headers", [{"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "http://evil.example"}]
)
def test_page_of_another_site_cannot_send_anything(studio, place, headers):
    path = f"studio/20260101-000000-{'A' * 16}/uploads?kind=audio&name=a.wav"
    request = urllib.request.Request(studio.address + path, data=b"hello", headers=headers)
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(request)
    assert not list(place.glob(f"root/sessions/20260101-000000-{'A' * 16}"))


def test_page_is_refused_under_the_name_of_another_site(studio):
    request = urllib.request.Request(studio.address, headers={"Host": "evil.example"})
    with pytest.raises(urllib.error.HTTPError, match="400"):
        urllib.request.urlopen(request)


def test_port_that_is_taken_is_one_line(studio, place):
    from synctrack.studio.server import Studio
    from synctrack.studio.workbench import Workbench

    bench = Workbench(studio.bench.model, place / "other")
    with pytest.raises(InputError, match="choose another"):
        Studio(bench, port=int(studio.address.rstrip("/").rpartition(":")[2]))
    bench.close()
