// Asking the server, and keeping what it said.

/** Characters that turn the direction of what follows: in somebody's text they would turn around words that are not theirs. */
const TURNS = /[\u202a-\u202e\u2066-\u2069]/g;

const read = (text) => JSON.parse(text.replace(TURNS, "\ufffd"));

async function answer(response) {
  const body = await response.text().then(read).catch(() => ({}));
  if (response.ok) return body;
  const error = new Error(body.error || `the server answered ${response.status}`);
  error.status = response.status;
  throw error;
}

export const get = async (path) => answer(await fetch(path, { headers: { accept: "application/json" } }));

export const post = async (path, body) => answer(await fetch(path, {
  method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body),
}));

export const policyPath = (p) => `/api/v1/policies/${encodeURIComponent(p.namespace)}/${encodeURIComponent(p.name)}`;

/** More instants than any board holds; a page that is open for weeks forgets the oldest. */
const MOST = 20_000;

/** The columns of one policy, fetched piece by piece. */
export class History {
  constructor(policy) {
    this.path = policyPath(policy);
    this.columns = { t: [] };
    this.asking = null;
  }

  /** Fetches what is new; true when something was. Asked twice at once it asks the server once. */
  refresh() {
    this.asking ??= this.fetch().finally(() => {
      this.asking = null;
    });
    return this.asking;
  }

  async fetch() {
    const t = this.columns.t;
    const news = await get(`${this.path}/history${t.length ? `?after=${t[t.length - 1]}` : ""}`);
    if (!news.t.length) return false;
    const surplus = t.length + news.t.length - MOST;
    for (const [name, values] of Object.entries(news)) {
      const all = (this.columns[name] || []).concat(values);
      this.columns[name] = surplus > 0 ? all.slice(surplus) : all;
    }
    return true;
  }

  get length() {
    return this.columns.t.length;
  }

  /** Index of the instant nearest to `ms`; -1 when there is none. */
  nearest(ms) {
    const t = this.columns.t;
    let [low, high] = [0, t.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (t[middle] < ms) low = middle + 1;
      else high = middle;
    }
    if (low > 0 && (low === t.length || ms - t[low - 1] < t[low] - ms)) low -= 1;
    return t.length ? low : -1;
  }
}
