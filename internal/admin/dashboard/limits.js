// How full the limits are, as bars.
import { byId, el, keyed, mark, put } from './dom.js';
import { bytes, number } from './format.js';

export function showLimits(status, routes) {
  const all = [
    { key: 'sessions', name: 'Sessions', ...status.sessions, of: 'max_sessions' },
    { key: 'descriptors', name: 'File descriptors', ...status.descriptors, of: 'ulimit -n' },
    { key: 'memory', name: 'Memory', ...status.memory, write: bytes, of: 'GOMEMLIMIT' },
    ...status.listeners.map((l) => ({
      key: `listener ${l.name}`, name: `Connections of ${l.address}${l.tls ? ' (TLS)' : ''}`, ...l.connections, of: 'max_connections',
    })),
    ...routes.filter((r) => r.limit > 0).map((r) => ({
      key: `route ${r.route}`, name: `Sessions of route ${r.route}`, used: r.open, limit: r.limit, of: 'max_sessions of the route',
    })),
  ];
  keyed(byId('bars'), all, (b) => b.key, create, update);
}

function create() {
  return el('div', { class: 'bar' },
    el('div', { class: 'bar-label' }, el('span', { class: 'name' }), el('span', { class: 'value' })),
    el('div', { class: 'track', role: 'meter', 'aria-valuemin': '0' }, el('div', { class: 'fill' })));
}

function update(node, b) {
  const write = b.write ?? number;
  const share = b.limit > 0 ? Math.min(b.used / b.limit, 1) : 0;
  const text = b.limit > 0
    ? `${write(b.used)} of ${write(b.limit)} (${(100 * b.used / b.limit).toFixed(share < 0.1 ? 1 : 0)} %)`
    : `${write(b.used)}, no limit`;
  put(node.querySelector('.name'), b.name);
  put(node.querySelector('.value'), text);
  mark(node, 'title', b.limit > 0 ? `The limit is ${b.of}` : `${b.of} is not set`);
  const track = node.querySelector('.track');
  track.hidden = b.limit <= 0;
  mark(track, 'aria-label', b.name);
  mark(track, 'aria-valuetext', text);
  mark(track, 'aria-valuenow', String(Math.min(b.used, b.limit)));
  mark(track, 'aria-valuemax', String(b.limit));
  const fill = track.firstChild;
  fill.style.width = `${100 * share}%`;
  mark(fill, 'class', `fill ${share >= 0.95 ? 'bad' : share >= 0.8 ? 'warn' : ''}`.trim());
}
