// The overview as the server pushes it.
import { address } from "./api.js";

/** Without a sample for so long, the connection is taken for lost. Where Redis is away, one comes each ten seconds. */
const SILENT_MS = 25_000;
const AGAIN_MS = 3000;

/**
 * Follows the samples for ever, over lost connections.
 * @param {(overview: any) => void} got
 * @param {(connected: boolean) => void} changed
 */
export function follow(got, changed) {
  let source = null;
  let watch = 0;
  const open = () => {
    clearTimeout(watch);
    source?.close();
    source = new EventSource(address("events"));
    source.addEventListener("overview", (event) => {
      let overview;
      try {
        overview = JSON.parse(event.data);
      } catch {
        return;
      }
      clearTimeout(watch);
      // A half-open connection ends by itself only after many minutes.
      watch = setTimeout(lost, SILENT_MS);
      changed(true);
      got(overview);
    });
    source.onerror = () => {
      changed(false);
      // Otherwise the browser tries again itself.
      if (source.readyState === EventSource.CLOSED) again();
    };
  };
  const again = () => {
    clearTimeout(watch);
    watch = setTimeout(open, AGAIN_MS);
  };
  const lost = () => {
    changed(false);
    open();
    clearTimeout(watch);
    watch = setTimeout(lost, SILENT_MS);
  };
  open();
}
