// The frames of a session while they pass, in its details.
import { lines, path } from './api.js';
import { el, put } from './dom.js';
import { plural } from './format.js';

const kept = 500; // frames in view
const waits = 'Waiting for frames…';
const kinds = ['text', 'binary', 'continuation', 'ping', 'pong', 'close'];

// frames returns what shows the frames of a session, and what ends that. Payloads are the data of users:
// only where the route lets a tap show them there is a box for them, and nobody has ticked it.
export function frames(s) {
  const again = () => running && start();
  const payload = s.tap === 'payload' ? el('input', { type: 'checkbox', name: 'payload', change: () => { cover(); again(); } }) : null;
  const sample = el('input', { type: 'number', name: 'sample', value: '1', min: '1', max: '1000000', change: again });
  const kind = el('select', { name: 'op', change: () => { only(); again(); } },
    el('option', { value: '' }, 'all'), ...kinds.map((k) => el('option', { value: k }, k)));
  const state = el('p', { class: 'muted', role: 'status' });
  const list = el('ol', { class: 'frames', tabindex: '0', 'aria-label': 'Frames of the session', hidden: true });
  const button = el('button', { type: 'button', click: () => (running ? stop('Stopped.') : begin()) }, 'Show frames');
  const pause = el('button', { type: 'button', 'aria-pressed': 'false', disabled: true, click: () => hold(pause.getAttribute('aria-pressed') !== 'true') }, 'Pause');
  let running = null;
  let waiting = []; // lines that are not shown yet
  let meanwhile = 0; // frames that have come since it was paused
  let drawing = 0;
  let lost = 0; // frames that were missed

  const paused = () => pause.getAttribute('aria-pressed') === 'true';
  const tell = (...texts) => put(state, [...texts, lost > 0 && `${plural(lost, 'frame')} missed: there were too many at once.`].filter(Boolean).join(' '));
  const draw = () => {
    clearTimeout(drawing);
    drawing = 0;
    const end = waiting.findLast((f) => f.over || f.stopped);
    const why = end ? end.stopped ?? 'The session has ended.' : '';
    if (paused()) {
      tell(`Paused: ${plural(meanwhile, 'frame')} came meanwhile.`, why);
      return;
    }
    if (waiting.length) tell(why);
    for (const f of waiting) if (f.op) list.append(row(f, payload?.checked));
    waiting = [];
    while (list.children.length > kept) list.firstChild.remove();
    only();
    list.scrollTop = list.scrollHeight;
  };
  // take takes a line, and reports whether it is the last one.
  const take = (line) => {
    const f = JSON.parse(line);
    lost += f.lost ?? 0;
    meanwhile += f.op ? 1 : 0;
    waiting.push(f);
    if (waiting.length > kept) waiting.shift(); // however many there are: the last ones are seen
    drawing ||= setTimeout(draw, 250);
    return Boolean(f.over || f.stopped);
  };
  // cover takes payloads out of view where they are not asked for.
  const cover = () => {
    if (!payload.checked) for (const node of list.querySelectorAll('.payload')) node.remove();
  };
  // only leaves the kind of frames in view that is asked for.
  const only = () => {
    for (const node of list.children) node.hidden = kind.value !== '' && node.dataset.op !== kind.value;
    list.hidden = list.children.length === 0;
  };
  const hold = (on) => {
    pause.setAttribute('aria-pressed', on);
    put(pause, on ? 'Go on' : 'Pause');
    pause.disabled = !on && !running;
    meanwhile = 0;
    tell(running ? waits : '');
    draw();
  };
  // begin shows frames from now on, behind those that are held.
  function begin() {
    hold(false);
    lost = 0;
    start();
  }
  // start shows frames as the controls say. A pause stays, with what it holds.
  async function start() {
    if (!sample.reportValidity()) return;
    const mine = new AbortController();
    running?.abort();
    running = mine;
    put(button, 'Stop');
    pause.disabled = false;
    if (!paused()) {
      draw();
      tell(waits);
    }
    const how = { payload: payload?.checked ? 'true' : '', sample: sample.value, op: kind.value };
    let why = 'The gateway has ended this: it may have stopped.'; // a last line says why
    try {
      await lines(path('sessions', s.session, 'tap'), how, mine.signal, (line) => {
        if (running === mine && take(line)) why = '';
      });
    } catch (error) {
      why = error.message;
    }
    if (running === mine) stop(why);
  }
  function stop(why) {
    running?.abort();
    running = null;
    put(button, 'Show frames');
    pause.disabled = !paused(); // what is held stays until it is let go
    draw();
    if (why) tell(why);
  }
  const node = el('section', { class: 'tap', 'aria-label': 'Frames' },
    el('div', { class: 'buttons' }, button, pause,
      el('label', {}, 'Kind of frames', kind),
      el('label', {}, 'Show one in', sample),
      payload && el('label', { class: 'check' }, payload, 'Payloads, the data of your users')),
    state, list);
  return { node, stop: () => stop() };
}

// row returns what is shown of a frame, with its payload where that may be shown.
function row(f, withPayload) {
  const about = [f.op, plural(f.length, 'byte'), f.fin ? '' : 'more follows', f.compressed ? 'compressed' : ''].filter(Boolean).join(', ');
  return el('li', { 'data-op': f.op }, el('span', { class: 'muted' }, `${clock(f.time)} ${f.from} → ${f.to} `), about, ...(withPayload ? payloadOf(f) : []));
}

// payloadOf returns what is shown of the payload of a frame.
function payloadOf(f) {
  const shown = [f.code, quote(f.text ?? f.reason), f.hex && `hex ${f.hex}`].filter((part) => part !== undefined && part !== '').join(' ');
  return [(shown || f.cut) && el('code', { class: 'payload' }, shown + (f.cut ? '…' : '')), f.note && el('span', { class: 'muted payload' }, ` (${f.note})`)];
}

// clock writes a moment as the time of day here, to the millisecond.
function clock(time) {
  const t = new Date(time);
  return `${t.toTimeString().slice(0, 8)}.${String(t.getMilliseconds()).padStart(3, '0')}`;
}

// quote writes a text in one line, in which nothing can pass for another line or hide one.
function quote(text) {
  return text && `“${text.replace(/[\p{C}\p{Zl}\p{Zp}\\]/gu, (c) => escapes[c] ?? `\\u{${c.codePointAt(0).toString(16)}}`)}”`;
}

const escapes = { '\n': '\\n', '\r': '\\r', '\t': '\\t', '\\': '\\\\' };
