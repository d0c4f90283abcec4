// Rows of one kind, as the API last told them.
import { Pages } from "./pages.js";

export class List {
  /** @param {string} name of the rows in the answer @param {() => void} reload */
  constructor(name, reload) {
    this.name = name;
    this.pages = new Pages(reload);
    this.clear();
  }

  /** For another question. */
  clear() {
    /** @type {any[]|null} [null] as long as nothing was told */
    this.rows = null;
    /** @type {Error|null} */
    this.error = null;
    this.pages.reset();
  }

  /** @param {(after: string|undefined) => Promise<any>} ask */
  async load(ask) {
    const after = this.pages.after;
    try {
      const page = await ask(after);
      if (after !== this.pages.after) return;
      this.rows = page[this.name];
      this.pages.next = page.next ?? null;
      this.error = null;
    } catch (e) {
      // What was told before stays to be seen.
      if (e.name !== "AbortError") this.error = e;
    }
  }
}
