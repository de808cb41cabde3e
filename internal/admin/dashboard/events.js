// What happens, while it happens: sessions that end, and everything else but requests and sessions
// that begin.
import { ask } from './api.js';
import { byId, el, keyed, mark, put } from './dom.js';
import { ago, moment, number } from './format.js';

const kept = 100; // of each list
const ends = [];
const others = [];

// The events that are asked for. Sessions that open and requests can be very many, and are not.
const names = [
  'endpoint is up', 'endpoint is down', 'endpoint is drained', 'endpoint is ejected', 'endpoint is tried again', 'endpoint could not be asked',
  'name could not be looked up', 'name could not be looked up; the last answer stays',
  'configuration reloaded', 'configuration refused', 'listening', 'admin interface', 'listener failed', 'server failed',
  'certificate issued', 'certificate renewed', 'certificate order failed', 'certificate needs attention', 'certificate file reloaded',
  'certificate is not kept over restarts', 'client authorities reloaded', 'changed file refused',
  'operator', 'requests to the admin interface refused', 'connections refused', 'connections closed',
  'log records dropped', 'ready', 'shutting down', 'stopped',
];

let drawing = 0;
let count = 0; // of events, to tell them apart

export function startEvents() {
  const link = byId('link');
  const show = (text, kind) => { put(link, text); mark(link, 'class', `badge ${kind}`); };
  const source = new EventSource(`events?${new URLSearchParams({ name: ['session ended', ...names].join(',') })}`);
  source.addEventListener('open', () => {
    show('live', 'good');
    askEnds();
  });
  source.addEventListener('error', () => {
    show(source.readyState === EventSource.CLOSED ? 'no live events' : 'reconnecting', 'warn');
    if (source.readyState !== EventSource.CLOSED) return; // the browser tries again by itself
    source.close();
    setTimeout(startEvents, 5000);
  });
  const take = (list, event) => {
    if (list === ends && list.some((e) => e.key === event.key)) return; // askEnds was faster
    list.unshift(event);
    if (list.length > kept) list.pop();
    drawing ||= setTimeout(redrawFeeds, 500); // however many there are
  };
  source.addEventListener('session ended', ({ data }) => {
    // The record is parsed when it is shown: of many at once most never are.
    take(ends, { key: /"session":"(\w+)"/.exec(data)?.[1] ?? `${count++}`, name: 'session ended', data });
  });
  for (const name of names) source.addEventListener(name, ({ data }) => take(others, { key: `${count++}`, name, data }));
  source.addEventListener('lost', (event) => {
    take(others, { key: `${count++}`, name: 'lost', record: {
      time: new Date().toISOString(), level: 'warn', message: `${number(JSON.parse(event.data).records)} events are missing here: there were too many at once`,
    } });
  });
}

// askEnds adds the ends that no event has told of: those before this page was opened, and those
// while the connection was lost.
async function askEnds() {
  let all;
  try {
    all = await ask('GET', 'ends');
  } catch {
    return; // events tell of those to come
  }
  const known = new Set(ends.map((e) => e.key));
  for (const record of all) {
    if (!known.has(record.session)) ends.push({ key: record.session, name: 'session ended', record });
  }
  ends.sort((a, b) => Date.parse(read(b).time) - Date.parse(read(a).time));
  ends.length = Math.min(ends.length, kept);
  redrawFeeds();
}

// read returns the record of an event, which is parsed when it is first shown.
function read(event) {
  if (!event.record) {
    try {
      event.record = JSON.parse(event.data);
    } catch {
      event.record = { time: new Date().toISOString(), message: event.name };
    }
  }
  return event.record;
}

// redrawFeeds shows both lists, with times as they are now.
export function redrawFeeds() {
  clearTimeout(drawing);
  drawing = 0;
  byId('ends-empty').hidden = ends.length > 0;
  byId('end-list').hidden = ends.length === 0;
  byId('events-empty').hidden = others.length > 0;
  byId('event-list').hidden = others.length === 0;
  keyed(byId('end-list'), ends, (e) => e.key, createEnd, (node, e) => updateTime(node, read(e)));
  keyed(byId('event-list'), others, (e) => e.key, createOther, (node, e) => updateTime(node, read(e)));
}

function updateTime(node, r) {
  const time = node.firstChild;
  put(time, ago(r.time));
  mark(time, 'title', moment(r.time));
  mark(time, 'datetime', r.time);
}

const sides = { client: 'by the client', backend: 'by the backend', gateway: 'by the gateway' };

function createEnd(e) {
  const r = read(e);
  const kind = r.close_code === 1000 || r.close_code === 1001 ? 'good' : r.close_code >= 3000 ? 'quiet' : 'warn';
  return el('li', { class: 'item', title: `${r.uri ?? ''} session ${r.session ?? ''}` },
    el('time', { class: 'muted' }),
    el('span', { class: `badge ${kind}`, title: 'close code' }, String(r.close_code ?? '–')),
    el('span', { class: 'grow' }, el('b', {}, r.client ?? 'Unix socket'), ` on ${r.route ?? '?'}: ${r.cause ?? 'ended'}, ${sides[r.ended_by] ?? r.ended_by ?? ''}`,
      r.close_reason ? el('q', {}, r.close_reason) : null, r.detail ? el('span', { class: 'muted' }, ` ${r.detail}`) : null));
}

const hidden = new Set(['time', 'message', 'level', 'error', 'id', 'session', 'pid']);
const first = ['action', 'target', 'sessions', 'backend', 'endpoint']; // what matters most of an event
const levels = { warn: 'warn', error: 'bad' };

function createOther(e) {
  const r = read(e);
  const names = [...new Set([...first.filter((name) => name in r), ...Object.keys(r)])].filter((name) => !hidden.has(name));
  const about = names.map((name) => `${name.replaceAll('_', ' ')} ${typeof r[name] === 'object' ? JSON.stringify(r[name]) : r[name]}`);
  return el('li', { class: 'item' },
    el('time', { class: 'muted' }),
    el('span', { class: `badge ${levels[r.level] ?? 'quiet'}` }, r.level ?? 'info'),
    el('span', { class: 'grow' }, el('b', {}, String(r.message ?? e.name)), about.length ? `: ${about.join(', ')}` : '', r.error ? el('span', { class: 'error' }, ` ${r.error}`) : null));
}
