// The frames of a session while they pass, in its details.
import { lines, path } from './api.js';
import { el, put } from './dom.js';
import { plural } from './format.js';

const kept = 200; // frames in view

// frames returns what shows the frames of a session, and what ends that. Payloads are the data of users:
// only where the route lets a tap show them there is a box for them, and nobody has ticked it.
export function frames(s) {
  const payload = s.tap === 'payload' ? el('input', { type: 'checkbox', name: 'payload' }) : null;
  const sample = el('input', { type: 'number', name: 'sample', value: '1', min: '1', max: '1000000' });
  const state = el('p', { class: 'muted', role: 'status' });
  const list = el('ol', { class: 'frames', tabindex: '0', 'aria-label': 'Frames of the session', hidden: true });
  const button = el('button', { type: 'button', click: () => (running ? stop() : start()) }, 'Show frames');
  let running = null;
  let waiting = []; // lines that are not shown yet
  let drawing = 0;
  let lost = 0; // frames that were missed,
  let told = 0; // and those of them that it says

  const draw = () => {
    drawing = 0;
    if (lost > told) put(state, `${plural(lost, 'frame')} missed: there were too many at once.`);
    told = lost;
    for (const f of waiting) add(list, state, f);
    waiting = [];
    while (list.children.length > kept) list.firstChild.remove();
    list.hidden = list.children.length === 0;
    list.scrollTop = list.scrollHeight;
  };
  const take = (line) => {
    const f = JSON.parse(line);
    lost += f.lost ?? 0;
    waiting.push(f);
    if (waiting.length > kept) waiting.shift(); // however many there are: the last ones are seen
    drawing ||= setTimeout(draw, 250);
  };
  async function start() {
    const mine = new AbortController();
    running = mine;
    clearTimeout(drawing); // what the run before has left is none of this one
    drawing = lost = told = 0;
    waiting = [];
    put(button, 'Stop');
    put(state, 'Waiting for frames…');
    list.replaceChildren();
    try {
      await lines(path('sessions', s.session, 'tap'), { payload: payload?.checked ? 'true' : '', sample: sample.value }, mine.signal, (line) => running === mine && take(line));
    } catch (error) {
      if (running === mine) put(state, error.message);
    }
    if (running === mine) stop();
  }
  function stop() {
    running?.abort();
    running = null;
    put(button, 'Show frames');
  }
  const node = el('section', { class: 'tap', 'aria-label': 'Frames' },
    el('div', { class: 'buttons' }, button,
      el('label', {}, 'One of so many', sample),
      payload && el('label', { class: 'check' }, payload, 'Payloads, the data of your users')),
    state, list);
  return { node, stop };
}

// add shows a line of a tap.
function add(list, state, f) {
  if (f.over) put(state, 'The session has ended.');
  if (f.stopped) put(state, f.stopped);
  if (!f.op) return;
  if (state.textContent.startsWith('Waiting')) put(state, '');
  const about = [f.op, plural(f.length, 'byte'), f.fin ? '' : 'more follows', f.compressed ? 'compressed' : ''].filter(Boolean).join(', ');
  const shown = [f.code, quote(f.text ?? f.reason), f.hex && `hex ${f.hex}`].filter((part) => part !== undefined && part !== '').join(' ');
  list.append(el('li', {}, el('span', { class: 'muted' }, `${f.time.slice(11, 23)} ${f.from} → ${f.to} `), about,
    (shown || f.cut) && el('code', {}, shown + (f.cut ? '…' : '')), f.note && el('span', { class: 'muted' }, ` (${f.note})`)));
}

// quote writes a text in one line, in which nothing can pass for another line or hide one.
function quote(text) {
  return text && JSON.stringify(text).replace(/[\p{C}\p{Zl}\p{Zp}]/gu, (c) => `\\u{${c.codePointAt(0).toString(16)}}`);
}
