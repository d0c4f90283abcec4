// A list that is walked by a cursor, one page at a time.

/** The cursors that led to the page that is shown. */
export class Pages {
  /** @param {() => void} turnedTo called when another page is wanted */
  constructor(turnedTo) {
    this.turnedTo = turnedTo;
    this.cursors = [];
    /** @type {string|null} */
    this.next = null;
  }

  /** How many pages lie before this one. */
  get turned() {
    return this.cursors.length;
  }

  /** What the page comes after. @returns {string|undefined} */
  get after() {
    return this.cursors.at(-1);
  }

  forward() {
    if (!this.next) return;
    this.cursors.push(this.next);
    this.next = null;
    this.turnedTo();
  }

  back() {
    this.cursors.pop();
    this.next = null;
    this.turnedTo();
  }

  reset() {
    this.cursors = [];
    this.next = null;
  }
}
