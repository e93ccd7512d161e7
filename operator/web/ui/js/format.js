// Numbers and times as people read them.

const nf = (digits) => new Intl.NumberFormat('en', { maximumFractionDigits: digits });
const whole = nf(0), one = nf(1), two = nf(2);

export function number(v) {
  if (v === null || v === undefined || Number.isNaN(v)) return '–';
  const a = Math.abs(v);
  if (a >= 1e9) return `${one.format(v / 1e9)} G`;
  if (a >= 1e6) return `${one.format(v / 1e6)} M`;
  if (a >= 1e4) return `${one.format(v / 1e3)} k`;
  if (a >= 100 || Number.isInteger(v)) return whole.format(v);
  return a >= 10 ? one.format(v) : two.format(v);
}

export const withUnit = (v, unit) => (v === null || v === undefined ? '–' : `${number(v)}${unit ? ` ${unit}` : ''}`);
export const percent = (ratio, digits = 0) => (ratio === null || ratio === undefined ? '–' : `${nf(digits).format(ratio * 100)} %`);

const sameDay = (a, b) => a.toDateString() === b.toDateString();
const hm = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });
const hms = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' });
const dayMonth = new Intl.DateTimeFormat('en', { weekday: 'short', day: 'numeric', month: 'short' });

export function clock(time, now, seconds = false) {
  const d = new Date(time);
  const text = (seconds ? hms : hm).format(d);
  return sameDay(d, new Date(now)) ? text : `${dayMonth.format(d)}, ${text}`;
}

export const day = (time) => dayMonth.format(new Date(time));

export function span(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 90) return `${s} s`;
  if (s < 90 * 60) return `${Math.round(s / 60)} min`;
  if (s < 36 * 3600) {
    const h = Math.floor(s / 3600), m = Math.round((s % 3600) / 60);
    return h < 6 && m > 0 && m < 60 ? `${h} h ${m} min` : `${Math.round(s / 3600)} h`;
  }
  return `${Math.round(s / 86400)} days`;
}

export function relative(time, now) {
  const s = (Date.parse(time) - now) / 1000;
  if (Math.abs(s) < 10) return 'now';
  return s > 0 ? `in ${span(s)}` : `${span(-s)} ago`;
}

// What is expected and due already is about to happen, however old the picture.
export const expected = (time, now) => (Date.parse(time) <= now ? 'now' : relative(time, now));

export function seasons(list) {
  const names = { 86400: 'daily', 604800: 'weekly', 3600: 'hourly', 43200: 'twice a day' };
  return list.map((s) => names[s] ?? `every ${span(s)}`).join(' and ');
}

export const plural = (n, word) => `${n === 1 ? 'one' : number(n)} ${word}${n === 1 ? '' : 's'}`;
