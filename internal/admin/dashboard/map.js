// The map: routes, the backends they lead to, and the endpoints of these.
import { ask, path } from './api.js';
import { byId, el, keyed, mark, put, say } from './dom.js';
import { ago, moment, number, plural } from './format.js';
import { confirm } from './dialogs.js';

const kinds = { up: 'good', draining: 'warn', ejected: 'bad', down: 'bad' };

let changed = () => {};

// showMap draws the map. It calls refresh when an operator has changed something.
export function showMap(routes, backends, refresh) {
  changed = refresh;
  byId('backends-empty').hidden = backends.length > 0;
  for (const [id, names] of [
    ['route', routes.map((r) => r.route)], ['backend', backends.map((b) => b.backend)],
    ['endpoint', backends.flatMap((b) => b.endpoints.map((e) => e.endpoint))],
  ]) {
    keyed(byId(`names-${id}`), [...new Set(names)], (n) => n, (n) => el('option', { value: n }), () => {});
  }
  keyed(byId('backends'), backends, (b) => b.backend, createBackend, (node, b) => {
    updateBackend(node, b, routes.filter((r) => r.backends.includes(b.backend)));
  });
}

function createBackend(b) {
  return el('article', { class: 'backend', 'aria-label': `Backend ${b.backend}` },
    el('ul', { class: 'routes', 'aria-label': 'Routes that lead here' }),
    el('div', { class: 'arrow', 'aria-hidden': 'true' }, '→'),
    el('div', { class: 'target' },
      el('h3', {}, el('span'), el('small')),
      el('ul', { class: 'endpoints', 'aria-label': `Endpoints of ${b.backend}` })));
}

function updateBackend(node, b, routes) {
  const leads = routes.length ? routes : [{ route: '', none: true }];
  keyed(node.querySelector('.routes'), leads, (r) => r.route, () => el('li', {}, el('b'), el('span', { class: 'muted' })), (item, r) => {
    put(item.firstChild, r.none ? 'no route' : r.route);
    put(item.lastChild, r.none ? 'it answers errors or mirrors only' : `${plural(r.open, 'session')} open, ${number(r.sessions)} in all`);
  });
  const up = b.endpoints.filter((e) => e.state === 'up').length;
  put(node.querySelector('h3 span'), b.backend);
  put(node.querySelector('h3 small'), b.endpoints.length
    ? `${up} of ${plural(b.endpoints.length, 'endpoint')} up${b.queued ? `, ${number(b.queued)} waiting for one` : ''}`
    : 'no endpoint: its name stands for no address');
  mark(node.querySelector('h3 small'), 'class', up ? null : 'bad');
  keyed(node.querySelector('.endpoints'), b.endpoints, (e) => e.endpoint, () => createEndpoint(b.backend), updateEndpoint);
}

function createEndpoint(backend) {
  const node = el('li', { class: 'endpoint-row' },
    el('span', { class: 'badge' }), el('code'), el('span', { class: 'counts' }), el('span', { class: 'since muted' }),
    el('span', { class: 'error' }), el('button', { type: 'button', click: () => change(backend, node.shown) }));
  node.backend = backend;
  return node;
}

function updateEndpoint(node, e) {
  node.shown = e;
  const [badge, name, counts, since, error, button] = node.children;
  put(badge, e.standby ? 'standby' : e.state);
  mark(badge, 'class', `badge ${kinds[e.state] ?? 'quiet'}`);
  put(name, e.endpoint);
  put(counts, `${plural(e.sessions, 'session')}, ${plural(e.requests, 'request')}`);
  mark(counts, 'title', `now. Since the start: ${number(e.served)} served, ${number(e.failed)} failed, ejected ${plural(e.ejections, 'time')}`);
  put(since, e.since ? `${e.state} for ${ago(e.since).replace(' ago', '').replace('now', '0 s')}` : `${e.state} since the start`);
  mark(since, 'title', e.since ? moment(e.since) : null);
  put(error, [e.error?.replace(`backend ${node.backend}: endpoint ${e.endpoint}: `, ''), e.insecure && 'its certificate is not verified', e.failed && `${number(e.failed)} failed of ${number(e.failed + e.served)}`].filter(Boolean).join('; '));
  const verb = e.state === 'draining' ? 'Undrain' : 'Drain';
  put(button, verb);
  mark(button, 'aria-label', `${verb} ${e.endpoint}`);
}

// change drains an endpoint or gives it work again, after a question.
async function change(backend, e) {
  const drain = e.state !== 'draining';
  const verb = drain ? 'drain' : 'undrain';
  await confirm({
    title: `${drain ? 'Drain' : 'Undrain'} ${e.endpoint}?`,
    text: drain
      ? `It gets no new work, and its ${plural(e.sessions, 'session')} end over the drain_time of backend ${backend}. That lasts until somebody undrains it, or the gateway stops.`
      : `It gets work of backend ${backend} again at once.`,
    button: drain ? 'Drain it' : 'Undrain it', danger: drain,
    run: async () => {
      await ask('POST', path('backends', backend, 'endpoints', e.endpoint, verb));
      say(drain ? `${e.endpoint} is draining.` : `${e.endpoint} gets work again.`);
      changed();
    },
  });
}
