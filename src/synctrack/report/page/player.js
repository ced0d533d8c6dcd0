"use strict";
// A player of stems: every stem is one source, all started at the same moment of one audio clock.

const DATA = JSON.parse(document.getElementById("data").textContent);

function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name in made && name !== "list") made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

function bytes(text) {
  const raw = atob(text), out = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) out[i] = raw.charCodeAt(i);
  return out.buffer;
}

// Buffers of one length, so that loops of all stems stay together.
async function decode(context, song) {
  const tracks = [];
  for (const side of ["stems", "target"])
    for (const [stem, text] of Object.entries((song.audio || {})[side] || {}))
      tracks.push({ side, stem, buffer: await context.decodeAudioData(bytes(text)) });
  const length = Math.max(1, ...tracks.map((track) => track.buffer.length));
  for (const track of tracks) {
    const padded = context.createBuffer(1, length, track.buffer.sampleRate);
    padded.copyToChannel(track.buffer.getChannelData(0), 0);
    track.buffer = padded;
  }
  return tracks;
}

function level(state, track) {
  if (track.side !== state.side || state.mute.has(track.stem)) return 0;
  if (state.solo.size && !state.solo.has(track.stem)) return 0;
  return state.volume[track.stem] ?? 1;
}

// Connects the tracks to the context's output and starts them all at `when`, at `from` seconds of the song.
function start(context, tracks, state, when, from) {
  return tracks.map((track) => {
    const source = context.createBufferSource(), gain = context.createGain();
    source.buffer = track.buffer;
    if (state.loop) Object.assign(source, { loop: true, loopStart: state.loop[0], loopEnd: state.loop[1] });
    gain.gain.value = level(state, track);
    source.connect(gain).connect(context.destination);
    source.start(when, from);
    return { source, gain, track };
  });
}

function newState() {
  return { side: "stems", mute: new Set(), solo: new Set(), volume: {}, loop: null };
}

// The same graph without a loudspeaker: what the player would play, as samples.
async function renderOffline(index, options = {}) {
  const state = newState();
  state.side = options.side || "stems";
  for (const name of ["mute", "solo"]) state[name] = new Set(options[name] || []);
  Object.assign(state.volume, options.volume || {});
  state.loop = options.loop || null;
  const rate = options.rate || 44100;
  const context = new OfflineAudioContext(1, Math.round((options.seconds || 1) * rate), rate);
  start(context, await decode(context, DATA.songs[index]), state, 0, options.from || 0);
  return Array.from((await context.startRendering()).getChannelData(0));
}

class Player {
  constructor(place) {
    this.place = place;
    this.context = null;
    this.playing = [];
    this.tracks = [];
    this.state = newState();
    this.position = 0;
    this.song = null;
    this.loads = 0;
  }

  async open(song) {
    this.pause();
    this.song = song;
    this.state = newState();
    this.position = 0;
    this.tracks = [];
    const load = ++this.loads;
    this.draw();
    if (!song.audio) return;
    this.context = this.context || new AudioContext();
    const tracks = await decode(this.context, song);
    if (load !== this.loads) return;
    this.tracks = tracks;
    this.place.dataset.ready = song.name;
    this.paint();
  }

  get duration() { return this.tracks.length ? this.tracks[0].buffer.duration : this.song.seconds; }

  now() {
    if (!this.playing.length) return this.position;
    let time = this.from + Math.max(0, this.context.currentTime - this.when);
    const loop = this.state.loop;
    if (loop && time > loop[1]) time = loop[0] + ((time - loop[1]) % (loop[1] - loop[0]));
    return Math.min(time, this.duration);
  }

  async play() {
    if (!this.tracks.length || this.playing.length) return;
    await this.context.resume();
    if (this.position >= this.duration - 0.01) this.position = 0;
    if (this.state.loop && this.position >= this.state.loop[1]) this.position = this.state.loop[0];
    this.when = this.context.currentTime + 0.05;
    this.from = this.position;
    this.playing = start(this.context, this.tracks, this.state, this.when, this.from);
    this.playing[0].source.onended = () => { if (this.now() >= this.duration - 0.05) { this.pause(); this.position = 0; this.show(); } };
    this.show();
    const tick = () => { if (this.playing.length) { this.show(); requestAnimationFrame(tick); } };
    requestAnimationFrame(tick);
  }

  pause() {
    this.position = this.playing.length ? this.now() : this.position;
    for (const part of this.playing) { part.source.onended = null; part.source.stop(); part.source.disconnect(); part.gain.disconnect(); }
    this.playing = [];
    if (this.song) this.show();
  }

  toggle() { if (this.playing.length) this.pause(); else this.play(); }

  seek(time) {
    const was = this.playing.length > 0;
    this.pause();
    this.position = Math.min(Math.max(0, time), this.duration);
    if (was) this.play();
    this.show();
  }

  change() {
    for (const part of this.playing) part.gain.gain.setTargetAtTime(level(this.state, part.track), this.context.currentTime, 0.005);
    this.buttons();
  }

  flip(name, stem) {
    const set = this.state[name];
    if (!set.delete(stem)) set.add(stem);
    this.change();
  }

  setLoop(region) {
    this.state.loop = region && region[1] - region[0] > 0.05 ? region : null;
    if (this.playing.length) this.seek(this.now());
    this.paint();
    this.buttons();
  }

  swap() {
    if (!(this.song.audio || {}).target) return;
    this.state.side = this.state.side === "stems" ? "target" : "stems";
    this.change();
    this.paint();
  }

  draw() {
    const song = this.song, faults = Object.entries(song.faults);
    this.place.replaceChildren(element("h3", { textContent: song.name }));
    const text = ["IRS " + song.scores.irs, "CBS " + song.scores.cbs, "CBD " + song.scores.cbd, "folded CBS " + song.scores.folded_cbs,
      "onset synchrony " + song.onset_synchrony].join(" · ");
    this.place.append(element("p", { textContent: text }));
    for (const [stem, fault] of faults) this.place.append(element("p", { className: "fault", textContent: `${stem}: ${fault}` }));
    if (!song.audio) { this.place.append(element("p", { textContent: "No audio of this song is in this page." })); return; }
    this.button = element("button", { textContent: "Play", "aria-label": "play or pause", onclick: () => this.toggle() });
    this.slider = element("input", { type: "range", min: 0, max: 1000, step: 1, value: 0, "aria-label": "position", oninput: () => this.seek((this.slider.value / 1000) * this.duration) });
    this.clock = element("output", { textContent: "0.00 s" });
    this.loopButton = element("button", { textContent: "Loop", "aria-label": "loop the marked region", onclick: () => this.setLoop(this.state.loop ? null : this.marked || [0, this.duration]) });
    this.sideButton = element("button", { textContent: "Target", "aria-label": "listen to the target", hidden: !song.audio.target, onclick: () => this.swap() });
    this.place.append(element("div", { className: "bar" }, this.button, this.slider, this.clock, this.loopButton, this.sideButton));
    this.rows = Object.keys(song.audio.stems).map((stem, index) => this.row(stem, index));
    this.place.append(...this.rows.map((row) => row.box));
    this.buttons();
  }

  row(stem, index) {
    const mute = element("button", { textContent: "M", "aria-label": `mute ${stem}`, onclick: () => this.flip("mute", stem) });
    const solo = element("button", { textContent: "S", "aria-label": `solo ${stem}`, onclick: () => this.flip("solo", stem) });
    const volume = element("input", { type: "range", min: 0, max: 1.5, step: 0.01, value: 1, "aria-label": `volume of ${stem}` });
    volume.addEventListener("input", () => { this.state.volume[stem] = Number(volume.value); this.change(); });
    const canvas = element("canvas", { width: 900, height: 112, role: "img", "aria-label": `waveform and beats of ${stem}` });
    let first = null;
    const time = (event) => ((event.clientX - canvas.getBoundingClientRect().left) / canvas.clientWidth) * this.duration;
    canvas.addEventListener("pointerdown", (event) => { first = time(event); canvas.setPointerCapture(event.pointerId); });
    canvas.addEventListener("pointerup", (event) => {
      if (first === null) return;
      const region = [first, time(event)].sort((a, b) => a - b).map((t) => Math.min(Math.max(0, t), this.duration));
      if (region[1] - region[0] > 0.05) { this.marked = region; this.setLoop(region); } else this.seek(first);
      first = null;
    });
    const head = element("div", {}, element("span", { textContent: `${index + 1} ${stem} ` }), mute, solo, volume);
    return { stem, mute, solo, canvas, box: element("div", { className: "stem" }, head, canvas) };
  }

  buttons() {
    for (const row of this.rows || []) {
      row.mute.setAttribute("aria-pressed", this.state.mute.has(row.stem));
      row.solo.setAttribute("aria-pressed", this.state.solo.has(row.stem));
    }
    if (this.loopButton) this.loopButton.setAttribute("aria-pressed", Boolean(this.state.loop));
    if (this.sideButton) this.sideButton.setAttribute("aria-pressed", this.state.side === "target");
  }

  show() {
    if (!this.song.audio) return;
    this.button.textContent = this.playing.length ? "Pause" : "Play";
    this.slider.value = (1000 * this.now()) / this.duration;
    this.clock.textContent = `${this.now().toFixed(2)} s`;
  }

  paint() {
    const style = getComputedStyle(document.documentElement), colour = (name) => style.getPropertyValue(name);
    for (const row of this.rows || []) {
      const pen = row.canvas.getContext("2d"), { width, height } = row.canvas;
      pen.clearRect(0, 0, width, height);
      const track = this.tracks.find((one) => one.side === this.state.side && one.stem === row.stem);
      if (!track) continue;
      const samples = track.buffer.getChannelData(0), step = samples.length / width;
      pen.fillStyle = colour("--ink");
      for (let x = 0; x < width; x++) {
        let peak = 0;
        for (let i = Math.floor(x * step); i < (x + 1) * step; i++) peak = Math.max(peak, Math.abs(samples[i] || 0));
        pen.fillRect(x, (height * (1 - peak)) / 2, 1, Math.max(1, height * peak));
      }
      pen.fillStyle = colour("--beat");
      for (const beat of this.state.side === "stems" ? this.song.beats[row.stem] || [] : []) pen.fillRect((beat / this.duration) * width, 0, 1.5, height);
      pen.fillStyle = colour("--region");
      if (this.state.loop) pen.fillRect((this.state.loop[0] / this.duration) * width, 0, ((this.state.loop[1] - this.state.loop[0]) / this.duration) * width, height);
    }
  }
}

const player = new Player(document.getElementById("player"));
const list = document.getElementById("list");
DATA.songs.forEach((song) => {
  const faults = Object.entries(song.faults).map(([stem, fault]) => `${stem} ${fault}`).join(", ");
  const small = element("small", { textContent: `CBS ${song.scores.cbs}${faults ? " · " + faults : ""}${song.audio ? "" : " · no audio"}` });
  const button = element("button", {}, element("span", { textContent: song.name }), small);
  button.addEventListener("click", () => {
    for (const other of list.querySelectorAll("button")) other.removeAttribute("aria-current");
    button.setAttribute("aria-current", "true");
    player.open(song);
  });
  list.append(element("li", {}, button));
});
if (list.firstChild) list.querySelector("button").click();

document.addEventListener("keydown", (event) => {
  const tag = event.target.tagName;
  if (!player.song || !player.song.audio || event.ctrlKey || event.metaKey || event.altKey) return;
  const digit = /^Digit([1-9])$/.exec(event.code);
  if (event.code === "Space" && tag !== "BUTTON" && tag !== "SUMMARY") player.toggle();
  else if (event.code === "ArrowLeft" && tag !== "INPUT") player.seek(player.now() - 1);
  else if (event.code === "ArrowRight" && tag !== "INPUT") player.seek(player.now() + 1);
  else if (event.code === "KeyL") player.loopButton.click();
  else if (event.code === "KeyT") player.swap();
  else if (digit && player.rows[digit[1] - 1]) player.flip(event.shiftKey ? "solo" : "mute", player.rows[digit[1] - 1].stem);
  else return;
  event.preventDefault();
});
window.synctrack = { player, renderOffline, songs: DATA.songs };
