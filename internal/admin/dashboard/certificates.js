// The certificates, and how long they are still good.
import { byId, el, keyed, mark, put } from './dom.js';
import { ago, moment, now, plural, since, span } from './format.js';

export function showCertificates(all) {
  byId('certificates-empty').hidden = all.length > 0;
  const order = [...all].sort((a, b) => (Date.parse(a.expiry ?? 0) || Infinity) - (Date.parse(b.expiry ?? 0) || Infinity));
  keyed(byId('certificate-list'), order, (c) => `${c.from} ${c.names.join(' ')}`, () => el('li', { class: 'item' },
    el('span', { class: 'badge' }), el('span', { class: 'grow' }), el('span', { class: 'muted' }), el('span', { class: 'error' })), (node, c) => {
    const [badge, names, from, error] = node.children;
    const { text, kind } = left(c);
    put(badge, text);
    mark(badge, 'class', `badge ${kind}`);
    mark(badge, 'title', c.expiry ? `ends ${moment(c.expiry)}` : null);
    put(names, c.names.join(', '));
    put(from, `from ${c.from}`);
    put(error, [c.error, c.next && `next try in ${span(-since(c.next))}`].filter(Boolean).join('; '));
  });
}

// left says how long a certificate is still good.
function left(c) {
  if (!c.expiry) return c.error || c.from === 'acme' ? { text: 'not there yet', kind: 'bad' } : { text: 'renewed by itself', kind: 'good' };
  const days = Math.floor((Date.parse(c.expiry) - now()) / 86400000);
  if (days < 0) return { text: `ended ${ago(c.expiry)}`, kind: 'bad' };
  return { text: `${plural(days, 'day')} left`, kind: days < 7 ? 'bad' : days < 21 ? 'warn' : 'good' };
}
