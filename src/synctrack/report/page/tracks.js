// The sound of a song: its tracks decoded, and all of them started at one moment of one audio clock.

export const RATE = 44100; // Hz, where a song does not say

async function read(audio) {
  if (!audio.startsWith("data:")) {
    const answer = await fetch(audio);
    if (!answer.ok) throw new Error(`${answer.status} ${answer.statusText}`);
    return answer.arrayBuffer();
  }
  // Decoded here: a page that forbids all requests forbids fetching data: too.
  return Uint8Array.from(atob(audio.slice(audio.indexOf(",") + 1)), (letter) => letter.charCodeAt(0)).buffer;
}

// The tracks of a song, all of one length and rate, so that loops of all stems stay together.
export async function decode(song) {
  const rate = song.rate || RATE, context = new OfflineAudioContext(1, 1, rate);
  const wanted = ["stems", "target"].flatMap((side) => Object.entries(song[side] || {}).map((one) => [side, ...one]));
  const tracks = await Promise.all(wanted.map(async ([side, stem, audio]) => {
    try {
      const buffer = await context.decodeAudioData(await read(audio));
      return { side, stem, buffer, seconds: buffer.duration };
    } catch (error) {
      throw new Error(`${stem} cannot be played (${error.message})`);
    }
  }));
  const length = Math.max(1, ...tracks.map((track) => track.buffer.length));
  for (const track of tracks) {
    if (track.buffer.length === length) continue;
    const padded = context.createBuffer(track.buffer.numberOfChannels, length, rate);
    for (let i = 0; i < padded.numberOfChannels; i++) padded.copyToChannel(track.buffer.getChannelData(i), i);
    track.buffer = padded;
  }
  return tracks;
}

// The length of a song, or of what it is played against: that of its longest track, in seconds.
export function lasting(tracks, side) {
  return Math.max(0, ...tracks.filter((track) => track.side === side).map((track) => track.seconds));
}

export function level(state, track) {
  if (track.side !== state.side || state.mute.has(track.stem)) return 0;
  if (state.solo.size && !state.solo.has(track.stem)) return 0;
  return state.volume.get(track.stem) ?? 1;
}

// Connects the tracks to the context's output and starts them all at `when`, at `from` seconds of the song.
export function start(context, tracks, state, when, from) {
  const left = Math.max(0, lasting(tracks, state.side) - from);
  return tracks.map((track) => {
    const source = context.createBufferSource(), gain = context.createGain();
    source.buffer = track.buffer;
    if (state.loop) Object.assign(source, { loop: true, loopStart: state.region[0], loopEnd: state.region[1] });
    gain.gain.value = level(state, track);
    source.connect(gain).connect(context.destination);
    // What is played against a song may be longer than it.
    if (state.loop) source.start(when, from);
    else source.start(when, from, left);
    return { source, gain, track };
  });
}
