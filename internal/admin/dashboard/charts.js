// The graphs: what they show, and their legends. canvas.js draws.
import { byId, el, mark, put } from './dom.js';
import { byteRate, moment, now, number, rate, span } from './format.js';
import { draw, momentAt } from './canvas.js';

export const minutes = 15;

// Each line is what one point of the history says; perSecond divides it by the time of the point.
const charts = [
  { title: 'Sessions open', write: number, lines: [{ name: 'open', of: (p) => p.sessions }] },
  {
    title: 'Messages', write: rate, perSecond: true,
    lines: [{ name: 'from clients', of: (p) => p.messages_from_client }, { name: 'from backends', of: (p) => p.messages_from_backend }],
  },
  {
    title: 'Payload', write: byteRate, perSecond: true, binary: true,
    lines: [{ name: 'from clients', of: (p) => p.bytes_from_client }, { name: 'from backends', of: (p) => p.bytes_from_backend }],
  },
  {
    title: 'Handshakes', write: rate, perSecond: true,
    lines: [{ name: 'accepted', of: (p) => p.opened }, { name: 'failed', of: (p) => p.handshakes_failed, bad: true }],
  },
  {
    title: 'HTTP requests', write: rate, perSecond: true,
    lines: [{ name: 'answered', of: (p) => p.requests }, { name: 'with an error (5xx)', of: (p) => p.request_errors, bad: true }],
  },
].map(create);

let times = []; // of the points, in milliseconds

function create(chart) {
  const lines = chart.lines.map((line, i) => ({ ...line, values: [], kind: line.bad ? 'bad' : `line-${i}`, shown: el('b') }));
  const canvas = el('canvas', { role: 'img' });
  const when = el('span', { class: 'when muted' });
  const view = { ...chart, lines, canvas, when, empty: el('p', { class: 'empty', hidden: true }, 'The first point comes 5 seconds after the start.'), at: -1 };
  canvas.addEventListener('pointermove', (event) => { view.at = nearest(momentAt(canvas, event.offsetX, minutes)); render(view); });
  canvas.addEventListener('pointerleave', () => { view.at = -1; render(view); });
  byId('charts').append(el('figure', { class: 'card chart' },
    el('figcaption', {}, el('h3', {}, chart.title, when), el('p', { class: 'legend' },
      ...lines.map((line) => el('span', { class: 'key' }, el('i', { class: `swatch ${line.kind}`, 'aria-hidden': 'true' }), line.shown, ` ${line.name}`)))),
    canvas, view.empty));
  new ResizeObserver(() => render(view)).observe(canvas);
  return view;
}

// nearest returns the number of the point that is next to a moment, or -1.
function nearest(moment) {
  let best = -1;
  for (let i = 0; i < times.length; i++) {
    if (best < 0 || Math.abs(times[i] - moment) < Math.abs(times[best] - moment)) best = i;
  }
  return best;
}

export function showHistory(history) {
  times = history.points.map((p) => Date.parse(p.time));
  for (const view of charts) {
    for (const line of view.lines) {
      line.values = history.points.map((p, i) => {
        if (!view.perSecond) return line.of(p);
        const seconds = i > 0 ? (times[i] - times[i - 1]) / 1000 : history.interval_seconds;
        return line.of(p) / Math.max(seconds, 0.1);
      });
    }
    render(view);
  }
}

function render(view) {
  const last = times.length - 1;
  const at = view.at >= 0 && view.at <= last ? view.at : last;
  view.empty.hidden = last >= 0;
  const parts = [];
  for (const line of view.lines) {
    const text = at >= 0 ? view.write(line.values[at]) : '–';
    put(line.shown, text);
    parts.push(`${text} ${line.name}, at most ${view.write(Math.max(0, ...line.values))}`);
  }
  put(view.when, at >= 0 && at !== last ? `${span((now() - times[at]) / 1000)} ago` : 'now');
  mark(view.when, 'title', at >= 0 ? moment(times[at]) : null);
  mark(view.canvas, 'aria-label', `${view.title} in the last ${minutes} minutes: ${parts.join('; ')}`);
  draw(view.canvas, { lines: view.lines, times, at: at === last ? -1 : at, write: view.write, binary: view.binary, minutes, whole: !view.perSecond });
}

matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => charts.forEach(render));
