"""The player in a page of its own, in a real browser: URLs, keys, and songs beside targets of other lengths."""

import base64
import io

import numpy as np
import pytest
import soundfile

from helpers.browser import chromium
from synctrack.report.page.write import player_script, player_style

pytestmark = pytest.mark.medium

RATE = 44100


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture
def tab(browser):
    tab = browser.new_page()
    yield tab
    tab.close()


def tone(seconds: float) -> bytes:
    """A tone as FLAC."""
    buffer = io.BytesIO()
    soundfile.write(buffer, 0.5 * np.sin(np.arange(round(seconds * RATE)) / 20), RATE, format="FLAC")
    return buffer.getvalue()


def url(seconds: float) -> str:
    """The same as a data URL."""
    return "data:audio/flac;base64," + base64.b64encode(tone(seconds)).decode()


ALONE = """<style>{style}</style><div id="here"></div><script type="module">{script}
const song = {{ name: "alone", rate: 44100, stems: {{ bass: "bass.flac", drums: "{drums}" }}, beats: {{ bass: [1] }} }};
window.regions = [];
window.player = mountPlayer(document.getElementById("here"), song, {{ onRegion: (region) => regions.push(region) }});
</script>"""


@pytest.mark.parametrize("drums", ["drums.flac", "missing.flac"])
def test_player_alone_takes_urls_and_keys_of_its_own_element(tab, drums):
    html = ALONE.format(style=player_style(), script=player_script(), drums=drums)

    def answer(route):
        name = route.request.url.rsplit("/", 1)[1]
        stem = name.split(".")[0]
        if stem in ("bass", "drums"):
            route.fulfill(body=tone(2.5))
        else:
            route.fulfill(body=html, content_type="text/html", status=404 if name == "missing.flac" else 200)

    tab.route("http://player.test/**", answer)
    tab.goto("http://player.test/page")
    if drums == "missing.flac":
        assert tab.get_by_role("alert").text_content().startswith("drums cannot be played (404")
        return
    tab.wait_for_selector("#here[data-ready]")
    assert tab.get_by_role("group", name="player of alone").count() == 1
    tab.keyboard.press("1")
    assert tab.evaluate("player.state.mute.size") == 0
    tab.locator("#here").focus()
    tab.keyboard.press("1")
    tab.evaluate("player.setRegion([2, 1])")
    assert tab.evaluate("[player.state.mute.has('bass'), ...regions.at(-1)]") == [True, 1, 2]
    tab.evaluate("player.destroy()")
    assert tab.locator("#here").inner_html() == ""


LENGTHS = """<style>{style}</style><div id="here"></div><script type="module">{script}
const song = {{ name: "short", rate: 44100, stems: {{ bass: "{short}" }}, target: {{ bass: "{long}" }} }};
window.regions = [];
window.player = mountPlayer(document.getElementById("here"), song, {{ onRegion: (region) => regions.push(region) }});
</script>"""


def test_song_beside_a_longer_target_has_its_own_length(tab):
    tab.set_content(LENGTHS.format(style=player_style(), script=player_script(), short=url(1.0), long=url(3.0)))
    tab.wait_for_selector("#here[data-ready]")
    assert tab.evaluate("player.duration") == pytest.approx(1.0)
    tab.evaluate("player.setLoop(true)")
    assert tab.evaluate("player.state.region") == pytest.approx([0, 1.0])
    # Looping all marks nothing that is to be changed.
    assert tab.evaluate("regions") == []
    tab.evaluate("player.setLoop(false), player.setRegion(null), player.swap()")
    assert tab.evaluate("player.duration") == pytest.approx(3.0)
    tab.evaluate("player.setRegion([0.5, 2.5]), player.seek(2.0), player.swap()")
    region, now = tab.evaluate("[player.state.region, player.now()]")
    assert region == pytest.approx([0.5, 1.0])
    assert now == pytest.approx(1.0)
    loud = tab.evaluate("(player.seek(0), player.render(3)).then(s => [0.5, 2].map(t => Math.abs(s[t * 44100 + 7])))")
    assert loud[0] > 0.01
    assert loud[1] == 0
