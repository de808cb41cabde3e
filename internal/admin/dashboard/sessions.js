// The open sessions: what is asked, the order, and what the operator does with them.
import { ask } from './api.js';
import { byId, el, mark, put } from './dom.js';
import { number, plural, since } from './format.js';
import { details, endMatching, endOne } from './dialogs.js';
import { Rows } from './rows.js';

const most = 5000; // sessions in the list

// The columns. Of is what they are sorted by here, and order what the interface calls that; turned means
// that it sorts the other way: an older session is open for longer.
const columns = [
  { name: 'Client', key: 'client', of: (s) => s.client, order: 'client' },
  { name: 'Route', key: 'route', of: (s) => s.route, order: 'route' },
  { name: 'Endpoint', key: 'endpoint', of: (s) => s.endpoint, order: 'endpoint' },
  { name: 'Path', key: 'uri', of: (s) => s.uri },
  { name: 'Open for', key: 'age', of: (s) => -Date.parse(s.opened), order: 'opened', turned: true, large: true },
  { name: 'Idle for', key: 'idle', of: (s) => -Date.parse(s.last), order: 'last', turned: true, large: true },
  { name: 'Messages', key: 'messages', of: (s) => s.from_client.messages + s.from_backend.messages, order: 'messages', large: true },
  { name: 'Payload', key: 'bytes', of: (s) => s.from_client.bytes + s.from_backend.bytes, order: 'bytes', large: true },
  { name: 'Messages/s', key: 'rate', of: (s) => s.rate, order: 'rate', large: true },
];

const form = byId('filter');
const problem = byId('filter-problem');
let sort = { column: columns[4], down: true };
let sessions = [];
let before = new Map(); // messages of each session at the last answer
let asked = 0; // when that was
let hold = false;
let refresh = () => {};
let rows;

// onFilter says what to call when the list is to be asked for at once.
export function onFilter(f) { refresh = f; }

const filter = () => Object.fromEntries([...new FormData(form)].map(([name, value]) => [name, value.trim()]));

export function startSessions() {
  rows = new Rows(byId('viewport'), {
    open: (s) => details(s, end), end,
  });
  byId('columns').append(...columns.map((c) => el('div', { role: 'columnheader', class: `cell ${c.key}`, 'data-key': c.key },
    el('button', { type: 'button', click: () => sortBy(c) }, c.name, el('span', { class: 'sign', 'aria-hidden': 'true' })))),
  el('div', { role: 'columnheader', class: 'cell act' }, el('span', { class: 'hidden' }, 'End')));
  let typing = 0;
  form.addEventListener('submit', (event) => { event.preventDefault(); refresh(); });
  form.addEventListener('input', () => { clearTimeout(typing); typing = setTimeout(() => refresh(), 300); });
  form.addEventListener('reset', () => setTimeout(() => refresh()));
  byId('hold').addEventListener('click', () => {
    hold = !hold;
    mark(byId('hold'), 'aria-pressed', String(hold));
    put(byId('hold'), hold ? 'List is held' : 'Hold list');
    refresh();
  });
  byId('end-all').addEventListener('click', () => endMatching(filter(), () => refresh()));
  showSort();
}

const end = (s) => endOne(s, () => refresh());

function sortBy(column) {
  sort = { column, down: sort.column === column ? !sort.down : Boolean(column.large) };
  showSort();
  arrange();
  if (!hold) refresh();
}

function showSort() {
  for (const head of byId('columns').querySelectorAll('[data-key]')) {
    const mine = head.dataset.key === sort.column.key;
    mark(head, 'aria-sort', mine ? (sort.down ? 'descending' : 'ascending') : null);
    put(head.querySelector('.sign'), mine ? (sort.down ? ' ↓' : ' ↑') : '');
  }
}

// arrange sorts the sessions and shows them.
function arrange() {
  const { of } = sort.column;
  const sign = sort.down ? -1 : 1;
  sessions = sessions.map((s) => [of(s), s]).sort(([a], [b]) => sign * (a < b ? -1 : a > b ? 1 : 0)).map(([, s]) => s);
  rows.show(sessions);
}

// askSessions asks for the sessions that match the filter. Status says how many there are.
export async function askSessions(status) {
  if (hold) return;
  const { column, down } = sort;
  const parameters = { ...filter(), limit: String(most) };
  // Only a list that is cut has to come in order: sorting costs the gateway the whole list.
  if (column.order && (status?.sessions.used ?? 0) > most) parameters.sort = (down === !column.turned ? '-' : '') + column.order;
  let all;
  try {
    all = await ask('GET', 'sessions', parameters);
  } catch (error) {
    if (error.status !== 400) throw error;
    put(problem, error.message); // the filter is not understood
    problem.hidden = false;
    byId('sessions-count').textContent = '';
    return;
  }
  problem.hidden = true;
  const time = performance.now();
  const next = new Map();
  for (const s of all) {
    const messages = s.from_client.messages + s.from_backend.messages;
    const was = before.get(s.session);
    s.rate = was === undefined ? messages / Math.max(since(s.opened), 1) : Math.max(0, messages - was) * 1000 / Math.max(time - asked, 1);
    next.set(s.session, messages);
  }
  before = next;
  asked = time;
  sessions = all;
  arrange();
  showCount(status);
}

function showCount(status) {
  const filtered = Object.values(filter()).some((value) => value !== '');
  const n = sessions.length;
  put(byId('sessions-count'), n === most
    ? `the first ${number(n)}, there are more: use the filter`
    : `${plural(n, 'session')}${filtered ? ` of ${number(Math.max(n, status?.sessions.used ?? n))}` : ''}`);
  const empty = byId('sessions-empty');
  empty.hidden = n > 0;
  put(empty, filtered ? 'No session matches the filter. Clear it to see all.' : 'There are no open sessions. They appear here when clients connect.');
  byId('table').hidden = n === 0;
  put(byId('end-all'), filtered ? 'End all that match…' : 'End all…');
}
