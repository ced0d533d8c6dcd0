// The studio's page beside Gradio: uploads, the player of the take that is shown, and the tempo that is tapped.

const shown = { where: "", session: null, take: null, player: null, stem: null, taps: [] };
const files = {};
let sending = null; // the uploads under way

const find = (id) => document.getElementById(id);
const line = (text, className = "") => element("p", { textContent: text, className });

function words(song) {
  const lines = song.scores ? song.scores.map((text) => line(text)) : [];
  find("words").replaceChildren(...song.notes.map((text) => line(text, "note")), ...lines);
}

function mount(song) {
  shown.player?.destroy();
  const stage = find("stage"), place = element("div");
  stage.replaceChildren(element("h2", { textContent: song.name }), place);
  stage.dataset.take = song.take;
  // A drag marks a part of the stem that it was on; the keys mark a part of all.
  place.addEventListener("pointerdown", (event) => { shown.stem = event.target.closest(".picture") ? event.target.closest(".stem").getAttribute("aria-label") : null; }, true);
  place.addEventListener("keydown", () => { shown.stem = null; }, true);
  shown.player = mountPlayer(place, song, { onRegion: () => find("picked").click() });
  shown.player.sideButton.textContent = "Before";
  shown.player.sideButton.setAttribute("aria-label", "listen to the take before");
}

// Shows the take of `where`, or, where it is shown already, its scores and beats.
async function show(where) {
  const { session, take } = JSON.parse(where || "{}");
  if (!session) return;
  // Read out by screen readers when they change.
  for (const id of ["status", "scoring"]) find(id).setAttribute("role", "status");
  for (const name of Object.keys(files)) if (shown.session !== session) forget(name);
  const address = new URL(location);
  address.searchParams.set("session", session);
  history.replaceState(null, "", address);
  const same = shown.session === session && shown.take === take;
  Object.assign(shown, { session, take });
  if (!take) {
    shown.player?.destroy();
    shown.player = null;
    find("stage").replaceChildren(line("There is no take yet."));
    find("words").replaceChildren();
    return;
  }
  const answer = await fetch(`studio/${session}/takes/${take}/player.json`), song = await answer.json();
  if (shown.take !== take || shown.session !== session) return;
  if (!answer.ok) {
    shown.player?.destroy();
    shown.player = null;
    find("stage").replaceChildren(line(song.error, "problem"));
    find("words").replaceChildren();
    return;
  }
  if (same && shown.player) {
    Object.assign(shown.player.song, { beats: song.beats });
    if (shown.player.tracks.length) shown.player.paint();
  } else mount(song);
  words(song);
}

function tell(name, text, wrong = false) {
  const output = document.querySelector(`[data-said="${CSS.escape(name)}"]`);
  output.textContent = text;
  output.className = wrong ? "problem" : "";
  output.setAttribute("role", wrong ? "alert" : "status");
}

function drop(name) {
  delete files[name];
  document.querySelector(`[data-remove="${CSS.escape(name)}"]`).hidden = true;
  tell(name, "");
}

function forget(name) {
  document.querySelector(`[data-upload="${CSS.escape(name)}"]`).value = "";
  drop(name);
}

async function send(input) {
  const name = input.dataset.upload, file = input.files[0], session = shown.session;
  drop(name);
  if (!file) return;
  tell(name, "Sending …");
  const query = new URLSearchParams({ kind: input.dataset.kind, name: file.name });
  try {
    const answer = await fetch(`studio/${session}/uploads?${query}`, { method: "POST", body: file });
    const found = await answer.json();
    // Another session was opened or another file chosen meanwhile: this one is not wanted any more.
    if (shown.session !== session || input.files[0] !== file) return;
    if (found.error) throw new Error(found.error);
    files[name] = found.token;
    tell(name, found.text);
    document.querySelector(`[data-remove="${CSS.escape(name)}"]`).hidden = false;
  } catch (error) {
    if (shown.session !== session || input.files[0] !== file) return;
    input.value = "";
    tell(name, error.message, true);
  }
}

document.addEventListener("change", (event) => { if (event.target.dataset?.upload) sending = Promise.all([sending, send(event.target)]); });
document.addEventListener("click", (event) => {
  const name = event.target.dataset?.remove;
  if (!name) return;
  forget(name);
  document.querySelector(`[data-upload="${CSS.escape(name)}"]`).focus();
});

// The tempo of the last taps; a pause of over two seconds begins anew.
function tap(bpm) {
  const now = performance.now();
  if (shown.taps.length && now - shown.taps.at(-1) > 2000) shown.taps = [];
  shown.taps = [...shown.taps, now].slice(-9);
  if (shown.taps.length < 2) return bpm;
  const beat = (now - shown.taps[0]) / (shown.taps.length - 1);
  return Math.round((60000 / beat) * 10) / 10;
}

// Stems, bars and seconds of the fields, with the part that is marked in the player put in.
function picked(stems, bars, span) {
  const region = shown.player?.state.region;
  if (!region) return [stems, "", ""];
  const chosen = shown.stem ? [shown.stem] : stems, near = 0.02;
  const downbeats = shown.player.song.downbeats || [];
  const first = downbeats.filter((time) => time <= region[0] + near).length;
  const last = downbeats.filter((time) => time < region[1] - near).length;
  // Behind the last bar, which is taken to be as long as the one before, only seconds say what is meant.
  const end = downbeats.length > 1 ? 2 * downbeats.at(-1) - downbeats.at(-2) : Infinity;
  if (first > 0 && last >= first && region[1] <= end + near) return [chosen, `${first}-${last}`, ""];
  return [chosen, "", `${region[0].toFixed(2)}-${region[1].toFixed(2)}`];
}

window.studio = {
  show, tap, picked, shown,
  withFiles: async (values) => { await sending; return [...values.slice(0, -1), JSON.stringify(files)]; },
};
