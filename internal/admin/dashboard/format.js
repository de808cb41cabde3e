// How amounts and times are written. Every number has its unit.

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const fine = new Intl.NumberFormat('en', { maximumFractionDigits: 1 });

export const number = (n) => whole.format(n);

// plural writes a number of things.
export const plural = (n, one) => `${number(n)} ${one}${n === 1 ? '' : 's'}`;

// rate writes how many a second.
export function rate(n) {
  if (n >= 1e6) return `${fine.format(n / 1e6)} M/s`;
  if (n >= 1e4) return `${fine.format(n / 1e3)} k/s`;
  return `${n < 100 ? fine.format(n) : whole.format(n)}/s`;
}

export function bytes(n) {
  if (n < 1024) return `${fine.format(n)} B`;
  let unit = '';
  for (unit of ['KiB', 'MiB', 'GiB', 'TiB', 'PiB']) {
    n /= 1024;
    if (n < 1024) break;
  }
  return `${fine.format(n)} ${unit}`;
}

export const byteRate = (n) => `${bytes(n)}/s`;

// span writes how long something took, in two units at most.
export function span(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor(s / 60) % 60} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor(s / 3600) % 24} h`;
}

let ahead = 0; // milliseconds that the clock of the gateway is before that of the browser

// setClock learns what time it is for the gateway.
export function setClock(milliseconds) {
  const next = milliseconds - Date.now();
  if (Math.abs(next - ahead) > 1000) ahead = next; // less is the way of the answer
}

// now returns what time it is for the gateway, in milliseconds.
export const now = () => Date.now() + ahead;

// since returns the seconds from a moment, a text as in JSON, until now.
export const since = (moment) => (now() - Date.parse(moment)) / 1000;

export const ago = (moment) => {
  const s = since(moment);
  return s < 1 ? 'now' : `${span(s)} ago`;
};

const absolute = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'long' });

// moment writes when something was, for titles.
export const moment = (text) => absolute.format(new Date(text));
