// The rows of the sessions. Only those that are in view have elements, so any number scrolls smoothly.
import { el, mark, put } from './dom.js';
import { bytes, moment, number, rate, since, span } from './format.js';

const spare = 8; // rows above and below the view that have elements too

export class Rows {
  // Actions are called with a session: open shows it, end ends it.
  constructor(viewport, actions) {
    this.viewport = viewport;
    this.actions = actions;
    this.all = [];
    this.made = new Map(); // rows that have elements, by session
    this.free = []; // elements that can be used again
    this.sizer = el('div', { class: 'sizer', role: 'presentation' });
    viewport.append(this.sizer);
    viewport.addEventListener('scroll', () => this.draw(false), { passive: true });
    viewport.addEventListener('keydown', (event) => this.key(event));
    new ResizeObserver(() => this.draw(true)).observe(viewport);
  }

  // show shows sessions in this order.
  show(all) {
    this.all = all;
    this.draw(true);
  }

  // height returns that of a row, which the style sheet decides.
  height() {
    return Number.parseFloat(getComputedStyle(this.viewport).getPropertyValue('--row')) || 34;
  }

  // draw makes the rows in view. Without again, those that are there already stay as they are.
  draw(again) {
    const height = this.height();
    this.sizer.style.height = `${this.all.length * height}px`;
    mark(this.viewport.parentElement, 'aria-rowcount', String(this.all.length + 1));
    const first = Math.max(0, Math.floor(this.viewport.scrollTop / height) - spare);
    const last = Math.min(this.all.length, Math.ceil((this.viewport.scrollTop + this.viewport.clientHeight) / height) + spare);
    const wanted = new Set();
    for (let i = first; i < last; i++) wanted.add(this.all[i].session);
    const active = document.activeElement;
    const held = this.sizer.contains(active) ? active.closest('.row') : null; // it has the focus
    const act = active?.dataset?.act;
    const heldAt = held ? this.all.findIndex((s) => s.session === held.shown.session) : -1;
    for (const [name, row] of this.made) {
      if (!wanted.has(name) && (row !== held || heldAt < 0)) { // the focus stays where it is out of view
        row.remove();
        this.made.delete(name);
        this.free.push(row);
      }
    }
    let at = this.sizer.firstElementChild;
    for (let i = first; i < last; i++) {
      const s = this.all[i];
      let row = this.made.get(s.session);
      if (!row) {
        row = this.free.pop() ?? this.create();
        this.made.set(s.session, row);
        this.update(row, s);
      } else if (again) {
        this.update(row, s);
      }
      this.place(row, i, height);
      if (row === at) at = at.nextElementSibling;
      else this.sizer.insertBefore(row, at);
    }
    if (!held) return;
    if (heldAt >= 0) this.place(held, heldAt, height);
    if (this.sizer.contains(document.activeElement)) return;
    // The element was moved, or its session has ended.
    (heldAt >= 0 ? held.querySelector(`[data-act=${act}]`) : this.viewport).focus({ preventScroll: true });
  }

  // place puts a row where session i is.
  place(row, i, height) {
    if (row.index === i && row.height === height) return;
    row.index = i;
    row.height = height;
    row.style.transform = `translateY(${i * height}px)`;
    mark(row, 'aria-rowindex', String(i + 2));
  }

  create() {
    const cell = (key, ...children) => el('div', { role: 'cell', class: `cell ${key}` }, ...children);
    const row = el('div', { role: 'row', class: 'row' },
      cell('client', el('button', { type: 'button', class: 'plain', 'data-act': 'open', click: () => this.actions.open(row.shown) })),
      cell('route'), cell('endpoint'), cell('uri'), cell('age'), cell('idle'), cell('messages'), cell('bytes'), cell('rate'),
      cell('act', el('button', { type: 'button', 'data-act': 'end', click: () => this.actions.end(row.shown) }, 'End')));
    row.addEventListener('click', (event) => {
      if (!event.target.closest('button') && !String(getSelection())) this.actions.open(row.shown);
    });
    return row;
  }

  update(row, s) {
    row.shown = s;
    const [client, route, endpoint, uri, age, idle, messages, size, now, act] = row.children;
    put(client.firstChild, s.client || 'Unix socket');
    mark(client.firstChild, 'title', `Details of session ${s.session}`);
    for (const [cell, text] of [[route, s.route], [endpoint, s.endpoint], [uri, s.uri]]) {
      put(cell, text);
      mark(cell, 'title', text);
    }
    put(age, span(since(s.opened)));
    mark(age, 'title', `opened ${moment(s.opened)}`);
    put(idle, span(since(s.last)));
    mark(idle, 'title', `last message ${moment(s.last)}`);
    put(messages, number(s.from_client.messages + s.from_backend.messages));
    mark(messages, 'title', `messages: ${number(s.from_client.messages)} from the client, ${number(s.from_backend.messages)} from the backend`);
    put(size, bytes(s.from_client.bytes + s.from_backend.bytes));
    mark(size, 'title', `${bytes(s.from_client.bytes)} from the client, ${bytes(s.from_backend.bytes)} from the backend`);
    put(now, rate(s.rate));
    mark(now, 'title', 'messages a second, since the list was asked for before');
    const button = act.firstChild;
    button.disabled = Boolean(s.ending);
    put(button, s.ending ? 'ending' : 'End');
    mark(button, 'aria-label', `End the session of ${s.client || 'a client'} on ${s.route}`);
    mark(button, 'title', s.ending || null);
    row.classList.toggle('ending', Boolean(s.ending));
  }

  // key moves between rows with the arrows, Home and End.
  key(event) {
    const row = event.target.closest('.row');
    const act = event.target.dataset?.act;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!row || !act || !step) return;
    const next = row.index + step;
    if (next < 0 || next >= this.all.length) return;
    event.preventDefault();
    const height = this.height();
    const top = this.viewport.scrollTop;
    if (next * height < top) this.viewport.scrollTop = next * height;
    if ((next + 1) * height > top + this.viewport.clientHeight) this.viewport.scrollTop = (next + 1) * height - this.viewport.clientHeight;
    this.draw(false);
    this.made.get(this.all[next].session)?.querySelector(`[data-act=${act}]`)?.focus({ preventScroll: true });
  }
}
