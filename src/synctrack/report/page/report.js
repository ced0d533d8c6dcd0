// The report page: songs from worst to best, and a player of the one that is chosen.

const DATA = JSON.parse(document.getElementById("data").textContent);
const list = document.getElementById("list"), place = document.getElementById("player");
let player = null;

// How the song was made, as a table that opens.
function facts(made) {
  const row = ([name, value]) => element("tr", {}, element("th", { scope: "row", textContent: name }), element("td", { textContent: value }));
  return element("details", {}, element("summary", { textContent: "How this song was made" }), element("table", { className: "facts" }, ...made.map(row)));
}

function open(song) {
  if (player) player.destroy();
  player = null;
  const scores = song.scores.map(([name, value]) => `${name} ${value}`).join(" · ");
  const stage = element("div");
  place.replaceChildren(element("h3", { textContent: song.name }), element("p", { textContent: scores }));
  for (const fault of song.faults) place.append(element("p", { className: "fault", textContent: fault }));
  if (song.cut) place.append(element("p", { textContent: song.cut }));
  place.append(stage);
  if (song.made.length) place.append(facts(song.made));
  if (song.audio) player = mountPlayer(stage, { ...song, ...song.audio }, { keys: document });
  else stage.textContent = "No audio of this song is in this page.";
}

for (const song of DATA.songs) {
  const about = [song.scores.slice(0, 2).map(([name, value]) => `${name} ${value}`).join(" "), ...song.faults, ...(song.audio ? [] : ["no audio"])];
  const button = element("button", {}, element("span", { textContent: song.name }), element("small", { textContent: about.join(" · ") }));
  button.addEventListener("click", () => {
    // The space bar on the song that is open plays it, as it does elsewhere on the page.
    if (button.getAttribute("aria-current")) { player?.toggle(); return; }
    for (const other of list.querySelectorAll("button")) other.removeAttribute("aria-current");
    button.setAttribute("aria-current", "true");
    open(song);
  });
  list.append(element("li", {}, button));
}
if (list.firstChild) list.querySelector("button").click();
window.synctrack = { get player() { return player; }, songs: DATA.songs };
