// Elements. What the gateway says comes from clients and backends: it only ever becomes text.

// el makes an element. A value of null or undefined leaves an attribute out; functions listen.
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === 'function') node.addEventListener(name, value);
    else if (value === true) node.setAttribute(name, '');
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value);
  }
  for (const child of children) {
    if (child !== null && child !== undefined) node.append(child); // strings become text
  }
  return node;
}

export const byId = (id) => document.getElementById(id);

// put sets the text of an element, and touches nothing if it is the same.
export function put(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

// mark sets an attribute, or removes it where the value is null.
export function mark(node, name, value) {
  if (value === null || value === undefined) node.removeAttribute(name);
  else if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}

const known = new WeakMap(); // of parents: their children by key

// keyed makes the children of parent those of items. An item that was there before keeps its element,
// so that the focus and what is selected stay.
export function keyed(parent, items, key, create, update) {
  const before = known.get(parent) ?? new Map();
  const now = new Map();
  for (const item of items) {
    let name = key(item);
    while (now.has(name)) name += ' ';
    const node = before.get(name) ?? create(item);
    update(node, item);
    now.set(name, node);
  }
  for (const [name, node] of before) {
    if (!now.has(name)) node.remove();
  }
  let at = parent.firstElementChild;
  for (const node of now.values()) {
    if (node === at) at = at.nextElementSibling;
    else parent.insertBefore(node, at);
  }
  known.set(parent, now);
}

let fading;

// say tells what has been done: on the page, and to screen readers.
export function say(text) {
  const node = byId('said');
  node.textContent = text;
  node.classList.add('shown');
  clearTimeout(fading);
  fading = setTimeout(() => { node.classList.remove('shown'); node.textContent = ''; }, 8000);
}
