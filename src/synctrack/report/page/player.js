// A multi-track player of a song's stems.
//
//   import { mountPlayer } from "./player.js";
//   const player = mountPlayer(document.querySelector("#here"), song, options);
//
// song: name    text
//       stems   { bass: audio, … }, where audio is a URL or "data:audio/flac;base64,…"
//       target  optional, the same; what the stems are played against at the same place
//       beats, targetBeats   optional, { bass: [seconds, …], … }
//       downbeats            optional, [seconds, …]
//       rate    optional, of the decoded audio in Hz; 44100 by default
// options: keys      whose key events are taken; by default those of the element itself
//          onRegion  called with [from, to] in seconds, or null, when another region is marked
//          onReady   called once all audio is decoded
// Returns a Player: play, pause, toggle, seek, flip, setVolume, setRegion, setLoop, swap, render, destroy. Styles are in
// player.css; the colours are its custom properties.

import { RATE, decode, lasting, level, start } from "./tracks.js";

const SHORTEST = 0.05; // seconds of a region; a shorter drag is a click

export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

class Player {
  constructor(place, song, options) {
    Object.assign(this, { place, song, options, context: null, tracks: [], playing: [], running: false, position: 0 });
    this.state = { side: "stems", mute: new Set(), solo: new Set(), volume: new Map(), region: null, loop: false };
    this.draw();
    this.listener = (event) => { if (this.key(event)) event.preventDefault(); };
    this.keys = options.keys || place;
    this.keys.addEventListener("keydown", this.listener);
    this.theme = matchMedia("(prefers-color-scheme: dark)");
    this.repaint = () => this.paint();
    this.theme.addEventListener("change", this.repaint);
    this.ready = decode(song).then((tracks) => this.loaded(tracks), (error) => this.failed(error));
  }

  loaded(tracks) {
    if (this.gone) return;
    this.tracks = tracks;
    this.place.dataset.ready = "true";
    this.paint();
    this.show();
    this.options.onReady?.(this);
  }

  failed(error) {
    if (!this.gone) this.place.append(element("p", { role: "alert", className: "fault", textContent: error.message }));
  }

  get duration() { return lasting(this.tracks, this.state.side); }

  now() {
    if (!this.playing.length) return this.position;
    let time = this.from + Math.max(0, this.context.currentTime - this.when);
    const [first, last] = this.state.region || [];
    if (this.state.loop && time > last) time = first + ((time - last) % (last - first));
    return Math.min(time, this.duration);
  }

  async play() {
    if (!this.tracks.length || this.running) return;
    this.running = true;
    // Only now: a browser lets a page open the loudspeaker after a click or a key.
    this.context = this.context || new AudioContext({ sampleRate: this.song.rate || RATE });
    await this.context.resume();
    if (!this.running || this.playing.length) return;
    const end = this.state.loop ? this.state.region[1] : this.duration;
    if (this.position >= end - 0.01) this.position = this.state.loop ? this.state.region[0] : 0;
    this.when = this.context.currentTime + 0.05;
    this.from = this.position;
    this.playing = start(this.context, this.tracks, this.state, this.when, this.from);
    this.playing[0].source.onended = () => { this.pause(); this.seek(0); };
    const tick = () => { if (this.playing.length) { this.show(); requestAnimationFrame(tick); } };
    tick();
  }

  pause() {
    this.position = this.now();
    this.running = false;
    for (const part of this.playing) { part.source.onended = null; part.source.stop(); part.source.disconnect(); part.gain.disconnect(); }
    this.playing = [];
    this.show();
  }

  toggle() { if (this.running) this.pause(); else this.play(); }

  seek(time) {
    const was = this.running;
    this.pause();
    this.position = Math.min(Math.max(0, time), this.duration);
    if (was) this.play();
    this.show();
  }

  // Solo or mute ("solo", "mute") of a stem, on or off.
  flip(name, stem) {
    const set = this.state[name];
    if (!set.delete(stem)) set.add(stem);
    this.change();
  }

  setVolume(stem, volume) {
    this.state.volume.set(stem, volume);
    this.change();
  }

  // From stems to target and back, at the same place.
  swap() {
    if (!this.song.target) return;
    const before = this.duration, time = this.now();
    this.state.side = this.state.side === "stems" ? "target" : "stems";
    if (this.duration !== before) {
      if (this.state.region) this.mark(this.state.region);
      this.seek(time);
    }
    this.change();
    this.paint();
  }

  change() {
    for (const part of this.playing) part.gain.gain.setTargetAtTime(level(this.state, part.track), this.context.currentTime, 0.005);
    this.show();
  }

  // Marks [from, to] in seconds, in either order, or nothing with null; `loop` says whether it is repeated.
  setRegion(region, loop = this.state.loop) {
    this.mark(region, loop);
    this.options.onRegion?.(this.state.region);
  }

  mark(region, loop = this.state.loop) {
    const [first, last] = (region || []).map((time) => Math.min(Math.max(0, time), this.duration)).sort((a, b) => a - b);
    const place = this.now();
    this.state.region = region && last - first > SHORTEST ? [first, last] : null;
    this.state.loop = Boolean(loop && this.state.region);
    if (this.running) this.seek(place);
    this.show();
  }

  // Repeats what is marked, or all. It marks no part to change: nobody is told of it.
  setLoop(loop) { this.mark(this.state.region || (loop ? [0, this.duration] : null), loop); }

  // One end of the region (0 or 1) at the present place, for those who do not drag.
  setEnd(end) {
    const region = this.state.region || [0, this.duration];
    this.setRegion(end ? [Math.min(region[0], this.now()), this.now()] : [this.now(), Math.max(region[1], this.now())], true);
  }

  // What would be played from here on, as samples of one channel, without a loudspeaker.
  async render(seconds, rate = this.song.rate || RATE) {
    const context = new OfflineAudioContext(1, Math.round(seconds * rate), rate);
    start(context, this.tracks, this.state, 0, this.position);
    return (await context.startRendering()).getChannelData(0);
  }

  destroy() {
    this.pause();
    this.gone = true;
    this.keys.removeEventListener("keydown", this.listener);
    this.theme.removeEventListener("change", this.repaint);
    this.context?.close();
    this.place.replaceChildren();
    delete this.place.dataset.ready;
  }

  // Does what a key asks for; whether there was something.
  key(event) {
    const tag = event.target.tagName, slider = event.target.type === "range", letter = event.key.toLowerCase();
    const typing = (tag === "INPUT" && !slider) || tag === "TEXTAREA" || tag === "SELECT" || event.target.isContentEditable;
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return false;
    const digit = /^Digit([1-9])$/.exec(event.code), row = digit && this.rows[digit[1] - 1];
    if (event.code === "Space" && tag !== "BUTTON" && tag !== "SUMMARY") this.toggle();
    else if (letter === "arrowleft" && !slider) this.seek(this.now() - 1);
    else if (letter === "arrowright" && !slider) this.seek(this.now() + 1);
    else if (letter === "home" && !slider) this.seek(0);
    else if (letter === "l") this.setLoop(!this.state.loop);
    else if (letter === "a") this.setEnd(0);
    else if (letter === "b") this.setEnd(1);
    else if (letter === "t") this.swap();
    else if (row) this.flip(event.shiftKey ? "solo" : "mute", row.stem);
    else return false;
    return true;
  }

  draw() {
    const button = (text, name, onclick) => element("button", { type: "button", textContent: text, "aria-label": name, onclick });
    this.playButton = button("Play", "play", () => this.toggle());
    this.slider = element("input", { type: "range", min: 0, max: 1, step: 0.01, value: 0, "aria-label": "position", oninput: () => this.seek(Number(this.slider.value)) });
    this.clock = element("span", { className: "clock", role: "timer" });
    this.loopButton = button("Loop", "loop the marked region", () => this.setLoop(!this.state.loop));
    this.sideButton = button("Target", "listen to the target", () => this.swap());
    this.sideButton.hidden = !this.song.target;
    const ends = [button("A", "loop from here", () => this.setEnd(0)), button("B", "loop to here", () => this.setEnd(1))];
    this.rows = Object.keys({ ...this.song.stems, ...this.song.target }).map((stem, index) => this.row(stem, index));
    this.place.classList.add("synctrack-player");
    this.place.tabIndex = 0;
    this.place.setAttribute("role", "group");
    this.place.setAttribute("aria-label", `player of ${this.song.name}`);
    this.place.replaceChildren(
      element("div", { className: "bar" }, this.playButton, this.slider, this.clock, ...ends, this.loopButton, this.sideButton),
      ...this.rows.map((row) => row.box),
    );
    this.show();
  }

  row(stem, index) {
    const button = (text, name) => element("button", { type: "button", textContent: text, "aria-label": `${name} ${stem}`, onclick: () => this.flip(name, stem) });
    const mute = button("M", "mute"), solo = button("S", "solo");
    const volume = element("input", { type: "range", min: 0, max: 1.5, step: 0.01, value: 1, "aria-label": `volume of ${stem}`, oninput: () => this.setVolume(stem, Number(volume.value)) });
    const canvas = element("canvas", { width: 900, height: 112, role: "img" });
    const region = element("span", { className: "region" }), cursor = element("span", { className: "cursor" });
    const picture = element("div", { className: "picture" }, canvas, region, cursor);
    this.drag(picture);
    const head = element("div", { className: "head" }, element("span", { textContent: `${index + 1} ${stem} ` }), mute, solo, volume);
    return { stem, mute, solo, canvas, region, cursor, box: element("div", { className: "stem", role: "group", "aria-label": stem }, head, picture) };
  }

  // A click on a picture seeks, a drag marks a region and loops it.
  drag(picture) {
    let first = null;
    const time = (event) => ((event.clientX - picture.getBoundingClientRect().left) / picture.clientWidth) * this.duration;
    picture.addEventListener("pointerdown", (event) => { first = time(event); picture.setPointerCapture(event.pointerId); });
    picture.addEventListener("pointermove", (event) => { if (first !== null) this.showRegion([first, time(event)].sort((a, b) => a - b)); });
    picture.addEventListener("pointercancel", () => { first = null; this.show(); });
    picture.addEventListener("pointerup", (event) => {
      if (first === null) return;
      const region = [first, time(event)];
      first = null;
      if (Math.abs(region[1] - region[0]) > SHORTEST) this.setRegion(region, true);
      else this.seek(region[0]);
    });
  }

  showRegion(region) {
    const percent = (time) => `${(100 * time) / (this.duration || 1)}%`;
    for (const row of this.rows) {
      Object.assign(row.region.style, { left: percent(region[0]), width: percent(region[1] - region[0]) });
      row.cursor.style.left = percent(this.now());
    }
  }

  show() {
    const pressed = (button, on) => button.setAttribute("aria-pressed", Boolean(on)), time = this.now();
    this.playButton.textContent = this.running ? "Pause" : "Play";
    this.playButton.setAttribute("aria-label", this.running ? "pause" : "play");
    pressed(this.loopButton, this.state.loop);
    pressed(this.sideButton, this.state.side === "target");
    for (const row of this.rows) for (const name of ["mute", "solo"]) pressed(row[name], this.state[name].has(row.stem));
    this.slider.max = this.duration;
    this.slider.value = time;
    this.slider.setAttribute("aria-valuetext", `${time.toFixed(1)} of ${this.duration.toFixed(1)} seconds`);
    this.clock.textContent = `${time.toFixed(2)} s`;
    this.showRegion(this.state.region || [0, 0]);
  }

  paint() {
    const style = getComputedStyle(this.place), { side } = this.state;
    const beats = (side === "stems" ? this.song.beats : this.song.targetBeats) || {};
    for (const row of this.rows) {
      const pen = row.canvas.getContext("2d"), { width, height } = row.canvas;
      const track = this.tracks.find((one) => one.side === side && one.stem === row.stem), own = Object.hasOwn(beats, row.stem) ? beats[row.stem] : [];
      pen.clearRect(0, 0, width, height);
      row.canvas.setAttribute("aria-label", `waveform of ${row.stem}${track ? "" : ": none"}, ${own.length} beats`);
      if (!track) continue;
      pen.fillStyle = style.getPropertyValue("--wave");
      const heard = Math.round(this.duration * track.buffer.sampleRate);
      paintWave(pen, track.buffer.getChannelData(0).subarray(0, heard), width, height);
      for (const [times, colour, thick] of [[this.song.downbeats || [], "--bar", 1], [own, "--beat", 2]]) {
        pen.fillStyle = style.getPropertyValue(colour);
        for (const time of times) pen.fillRect((time / this.duration) * width - thick / 2, 0, thick, height);
      }
    }
  }
}

function paintWave(pen, samples, width, height) {
  const step = samples.length / width;
  for (let x = 0; x < width; x++) {
    let peak = 0;
    for (let i = Math.floor(x * step); i < (x + 1) * step; i++) peak = Math.max(peak, Math.abs(samples[i] || 0));
    pen.fillRect(x, (height * (1 - peak)) / 2, 1, Math.max(1, height * peak));
  }
}

// Fills an element with a player of one song; see the top of this file.
export function mountPlayer(place, song, options = {}) {
  return new Player(place, song, options);
}
