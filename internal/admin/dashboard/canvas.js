// Drawing of a graph on a canvas: a frame with a scale, and lines over time.
import { now } from './format.js';

const edge = { left: 4, right: 4, top: 16, bottom: 18 };

// ceiling returns a round number that is not below n.
function ceiling(n, binary, whole) {
  const base = binary ? 1024 : 1000;
  let unit = 1;
  while (n / unit >= base) unit *= base;
  const least = whole && unit === 1 ? 4 : 1;
  for (const step of [1, 2, 4, 5, 8, 10, 20, 40, 50, 80, 100, 200, 400, 500, 800, 1000, 1024]) {
    if (step >= least && step * unit >= n) return step * unit;
  }
  return n;
}

// momentAt returns the moment that is shown at x, in milliseconds.
export function momentAt(canvas, x, minutes) {
  const width = canvas.clientWidth - edge.left - edge.right;
  return now() - (1 - (x - edge.left) / width) * minutes * 60000;
}

// draw draws lines. At is the number of a point to mark, or -1.
export function draw(canvas, { lines, times, at, write, binary, minutes, whole }) {
  const width = canvas.clientWidth;
  const height = canvas.clientHeight;
  if (!width || !height) return;
  const scale = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const c = canvas.getContext('2d');
  c.scale(scale, scale);
  const style = getComputedStyle(canvas);
  const color = (name) => style.getPropertyValue(name).trim();
  const top = ceiling(Math.max(0, ...lines.flatMap((l) => l.values)), binary, whole);
  const end = now();
  const begin = end - minutes * 60000;
  const inner = { w: width - edge.left - edge.right, h: height - edge.top - edge.bottom };
  const x = (t) => edge.left + (t - begin) / (end - begin) * inner.w;
  const y = (v) => edge.top + (1 - v / top) * inner.h;

  c.font = `11px ${style.fontFamily}`;
  c.fillStyle = color('--muted');
  c.strokeStyle = color('--line');
  c.lineWidth = 1;
  for (const share of [0, 0.5, 1]) {
    const at = Math.round(y(top * share)) + 0.5;
    c.beginPath();
    c.moveTo(edge.left, at);
    c.lineTo(width - edge.right, at);
    c.stroke();
    if (share > 0) c.fillText(write(top * share), edge.left, at - 3);
  }
  c.fillText(`${minutes} min ago`, edge.left, height - 4);
  c.textAlign = 'right';
  c.fillText('now', width - edge.right, height - 4);
  c.textAlign = 'left';

  c.save();
  c.beginPath();
  c.rect(edge.left, edge.top - 2, inner.w, inner.h + 4);
  c.clip();
  lines.forEach((line, number) => {
    if (!times.length) return;
    c.strokeStyle = color(`--${line.kind}`);
    c.lineWidth = 2;
    c.lineJoin = 'round';
    c.setLineDash(number ? [5, 3] : []);
    c.beginPath();
    times.forEach((t, i) => (i ? c.lineTo(x(t), y(line.values[i])) : c.moveTo(x(t), y(line.values[i]))));
    if (times.length === 1) c.lineTo(x(times[0]) + 2, y(line.values[0]));
    c.stroke();
    if (number === 0) {
      c.setLineDash([]);
      c.lineTo(x(times.at(-1)), y(0));
      c.lineTo(x(times[0]), y(0));
      c.globalAlpha = 0.1;
      c.fillStyle = color(`--${line.kind}`);
      c.fill();
      c.globalAlpha = 1;
    }
  });
  c.setLineDash([]);
  if (at >= 0) {
    c.strokeStyle = color('--muted');
    c.lineWidth = 1;
    c.beginPath();
    c.moveTo(Math.round(x(times[at])) + 0.5, edge.top);
    c.lineTo(Math.round(x(times[at])) + 0.5, height - edge.bottom);
    c.stroke();
  }
  c.restore();
}
