// The head of the page: what the gateway is, and its last reload.
import { byId, el, keyed, mark, put } from './dom.js';
import { ago, moment, number, span } from './format.js';

const kinds = { running: 'good', draining: 'warn' };

export function showStatus(s) {
  const state = byId('state');
  put(state, s.state);
  mark(state, 'class', `badge ${kinds[s.state] ?? 'bad'}`);
  document.title = `${number(s.sessions.used)} sessions – sluice`;
  const facts = [
    { name: 'Version', text: s.version },
    { name: 'Up for', text: span(s.uptime_seconds), title: `since ${moment(s.started)}, process ${s.pid}` },
    { name: 'Configuration', text: `${s.config.file}, loaded ${ago(s.config.loaded)}`, title: `${moment(s.config.loaded)}, SHA-256 ${s.config.sha256}` },
    { name: 'Last reload', ...reload(s.last_reload) },
    { name: 'Log level', text: s.log_level },
  ];
  keyed(byId('about'), facts, (f) => f.name, (f) => el('div', {}, el('dt', {}, f.name), el('dd')), (node, f) => {
    put(node.lastChild, f.text);
    mark(node.lastChild, 'title', f.title);
    mark(node.lastChild, 'class', f.bad ? 'bad' : null);
  });
}

// reload says what the last reload did.
function reload(r) {
  if (!r) return { text: 'none since the start' };
  if (!r.ok) {
    return { text: `refused ${ago(r.time)}: ${(r.mistakes ?? []).join('; ')}`, title: moment(r.time), bad: true };
  }
  return { text: `${ago(r.time)}, ${r.report}`, title: `${moment(r.time)}, in ${r.duration_ms.toFixed(1)} ms` };
}
