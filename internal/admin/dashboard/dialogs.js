// Dialogs: questions before something is changed, and the details of a session.
import { ask, path } from './api.js';
import { byId, el, keyed, mark, put, say } from './dom.js';
import { ago, bytes, moment, number, plural, since, span } from './format.js';
import { frames } from './tap.js';

const dialog = byId('dialog');
let closed = () => {}; // called once when what the dialog shows is gone

// settle tells who has opened the dialog that it is not theirs any more.
function settle() {
  const then = closed;
  closed = () => {};
  then();
}

// The event comes after the dialog has closed, and it may be open again by then.
dialog.addEventListener('close', () => dialog.open || settle());

// open shows a dialog, in the place of one that is open, and returns when it is closed. The browser gives
// the focus back.
function open(title, ...content) {
  if (dialog.open) dialog.close();
  settle();
  dialog.replaceChildren(el('h2', { id: 'dialog-title' }, title), ...content);
  dialog.showModal();
  return new Promise((resolve) => { closed = resolve; });
}

const cancel = () => el('button', { type: 'button', click: () => dialog.close() }, 'Cancel');

// confirm asks a question. Run does what was asked for; what it throws is shown, and said where the
// dialog was closed meanwhile.
export function confirm({ title, text, fields = [], button, danger, run }) {
  const problem = el('p', { class: 'problem', role: 'alert', hidden: true });
  const go = el('button', { type: 'submit', class: danger ? 'danger' : 'primary' }, button);
  let left = false;
  const form = el('form', {
    submit: async (event) => {
      event.preventDefault();
      go.disabled = true;
      problem.hidden = true;
      try {
        await run(Object.fromEntries(new FormData(form)));
        if (!left) dialog.close();
      } catch (error) {
        put(problem, error.message);
        problem.hidden = false;
        if (left) say(`${title} ${error.message}`);
      }
      go.disabled = false;
    },
  }, el('p', {}, text), ...fields, problem, el('div', { class: 'buttons' }, cancel(), go));
  return open(title, form).then(() => { left = true; });
}

// closeFields are how sessions end: for clients.
function closeFields(withSpread) {
  return [
    el('label', {}, 'Close code for the client',
      el('input', { name: 'code', type: 'number', value: '1008', min: '1000', max: '4999', list: 'codes', required: true }),
      el('datalist', { id: 'codes' },
        el('option', { value: '1000' }, 'normal end'), el('option', { value: '1008' }, 'policy: stay away'),
        el('option', { value: '1012' }, 'restart: come back'), el('option', { value: '4001' }, 'your own, from 4000 on')),
      el('small', {}, '1008: stay away. 1012: come back. 4000 to 4999: codes of your application.')),
    el('label', {}, 'Reason for the client',
      el('input', { name: 'reason', maxlength: '123', placeholder: 'ended by operator' }), el('small', {}, 'At most 123 bytes. May be empty.')),
    withSpread && el('label', {}, 'Spread over',
      el('input', { name: 'spread', value: '10s' }), el('small', {}, 'The sessions end evenly over this time, so that not all come back at once.')),
  ].filter(Boolean);
}

// endOne ends a session after a question.
export function endOne(s, done) {
  return confirm({
    title: 'End this session?', text: `${s.client || 'A client on a Unix socket'}, ${s.uri}, route ${s.route}, open for ${span(since(s.opened))}. The client gets a Close frame.`,
    fields: closeFields(false), button: 'End session', danger: true,
    run: async ({ code, reason }) => {
      await ask('DELETE', path('sessions', s.session), { code, reason });
      say(`The session of ${s.client || 'a client'} ends with ${code}.`);
      done();
    },
  });
}

// endMatching ends the sessions that match a filter. It counts them first.
export async function endMatching(filter, done) {
  const given = Object.entries(filter).filter(([, value]) => value !== '');
  const which = given.length ? Object.fromEntries(given) : { all: 'true' };
  let n;
  try {
    n = (await ask('DELETE', 'sessions', { ...which, dry_run: 'true' })).sessions;
  } catch (error) {
    return open('Sessions cannot be ended', el('p', {}, error.message), el('div', { class: 'buttons' }, cancel()));
  }
  if (n === 0) {
    return open('No session matches', el('p', {}, 'Change the filter, or wait for sessions.'), el('div', { class: 'buttons' }, cancel()));
  }
  const text = given.length
    ? `The filter: ${given.map(([name, value]) => `${name.replace('_', ' ')} ${value}`).join(', ')}. Sessions that begin meanwhile are not among them.`
    : 'There is no filter: this ends ALL sessions of the gateway.';
  return confirm({
    title: `End ${plural(n, 'session')}?`, text, fields: closeFields(true), button: `End ${plural(n, 'session')}`, danger: true,
    run: async ({ code, reason, spread }) => {
      const ended = await ask('DELETE', 'sessions', { ...which, code, reason, spread });
      say(`${plural(ended.sessions, 'session')} end with ${code}${spread ? ` over ${spread}` : ''}.`);
      done();
    },
  });
}

// details shows everything about a session while it lives.
export async function details(s, end) {
  const list = el('dl', { class: 'details', tabindex: '0', 'aria-label': 'Details of the session' });
  const state = el('p', { class: 'muted', role: 'status' });
  const button = el('button', { type: 'button', class: 'danger', click: () => { dialog.close(); end(s); } }, 'End session…');
  const tap = frames(s);
  const shown = open('Session', state, el('div', { class: 'session' }, list, tap.node), el('div', { class: 'buttons' }, el('button', { type: 'button', click: () => dialog.close() }, 'Close'), button));
  let timer = 0;
  let left = false; // an answer that comes after that asks for no other one
  const show = async () => {
    fill(list, s);
    try {
      s = await ask('GET', path('sessions', s.session));
      put(state, '');
    } catch (error) {
      const ended = error.status === 404;
      put(state, ended ? 'This session has ended.' : error.message);
      button.disabled = ended;
      if (ended) return;
    }
    if (left) return;
    fill(list, s);
    timer = setTimeout(show, 2000);
  };
  show();
  await shown;
  left = true;
  clearTimeout(timer);
  tap.stop();
}

function fill(list, s) {
  const traffic = (t) => `${plural(t.messages, 'message')} in ${plural(t.frames, 'frame')}, ${bytes(t.bytes)}, ${plural(t.controls, 'control frame')}`;
  const facts = [
    ['Session', s.session], ['Request ID', s.request_id], ['Client', s.client || 'on a Unix socket'], ['Host', s.host], ['Path', s.uri],
    ['Route', s.route], ['Backend', s.backend], ['Endpoint', s.endpoint],
    ['Subprotocol', s.subprotocol || 'none'], ['Compression', s.compression ? 'permessage-deflate' : 'none'],
    ['Opened', ago(s.opened), moment(s.opened)], ['Last message', ago(s.last), moment(s.last)],
    ['From client', traffic(s.from_client), `${number(s.from_client.bytes)} bytes`],
    ['From backend', traffic(s.from_backend), `${number(s.from_backend.bytes)} bytes`],
    ['Ending', s.ending || 'no'],
  ];
  keyed(list, facts, (f) => f[0], (f) => el('div', {}, el('dt', {}, f[0]), el('dd')), (node, [, text, title]) => {
    put(node.lastChild, text);
    mark(node.lastChild, 'title', title);
  });
}
